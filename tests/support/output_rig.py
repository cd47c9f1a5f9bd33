"""An output on a real socket pair with tiny buffers, ended as a connection ends it."""

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from streamd.server.output import Output

PATIENCE_SECONDS = 30.0
BIG = 300_000  # bytes; far more than both buffers of a pair hold


class Rig:
    """One output, its socket, and the peer's.

    Attributes:
        failures: how often the output gave its connection up.
    """

    def __init__(
        self, nursery: trio.Nursery, sock: socket.socket, peer: socket.socket, timeout_seconds: float
    ) -> None:
        self.sock, self.peer = sock, peer
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the kernel makes it the least it allows
        for end in (sock, peer):
            end.setblocking(False)
        self.failures = 0
        self.output = Output(sock, timeout_seconds, self._fail, nursery.start_soon)

    def _fail(self) -> None:
        self.failures += 1
        self.close()

    def close(self) -> None:
        """As a connection does it: the output first, then the socket."""
        self.output.close()
        if self.sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self.sock)
            self.sock.close()

    def is_free(self) -> bool:
        return self.output.free

    def available(self) -> bytes:
        """What the peer can read now."""
        data = b""
        try:
            while part := self.peer.recv(BIG):
                data += part
        except BlockingIOError:
            pass
        return data

    async def read(self, count: int) -> bytes:
        """So many bytes at the peer's end, or fewer where the stream ends."""
        data = bytearray()
        while len(data) < count:
            await trio.lowlevel.wait_readable(self.peer)
            part = self.peer.recv(count - len(data))
            if not part:
                break
            data += part
        return bytes(data)

    async def read_oddly(self, random_: random.Random) -> bytes:
        """Everything up to the end, in pieces of odd sizes, at an odd pace."""
        data = bytearray()
        while True:
            await trio.lowlevel.wait_readable(self.peer)
            part = self.peer.recv(random_.choice((1, 3, 101, 999, 4_097, 20_001)))
            if not part:
                return bytes(data)
            data += part
            for _ in range(random_.randrange(3)):
                await trio.lowlevel.checkpoint()


@contextmanager
def open_rig(
    nursery: trio.Nursery,
    *,
    timeout_seconds: float = PATIENCE_SECONDS,
    pair: tuple[socket.socket, socket.socket] | None = None,
) -> Iterator[Rig]:
    """A rig for as long as the block lasts; its sockets are closed after it.

    Args:
        nursery: of the tasks that flush.
        timeout_seconds: of the output (s).
        pair: connected sockets, the output's first; a Unix socket pair when left out.
    """
    rig = Rig(nursery, *(pair or socket.socketpair()), timeout_seconds)
    try:
        yield rig
    finally:
        rig.close()
        rig.peer.close()
