"""An output on a real socket pair with tiny buffers, closed as a connection closes it."""

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from streamd.server.output import Output

PATIENCE_SECONDS = 30.0
BIG = 300_000  # bytes; far more than the kernel buffers of both sockets


class Rig:
    """One output, its socket, and the peer's.

    Attributes:
        failures: number of times that the output aborted its connection.
    """

    def __init__(
        self, nursery: trio.Nursery, sock: socket.socket, peer: socket.socket, timeout_seconds: float
    ) -> None:
        self.sock, self.peer = sock, peer
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the kernel raises it to its minimum
        for end in (sock, peer):
            end.setblocking(False)
        self.failures = 0
        self.spawn = nursery.start_soon
        self.output = Output(sock, timeout_seconds, self)

    def abort(self) -> None:
        """Close the output and the socket, as a connection does after an error."""
        self.failures += 1
        self.close()

    fail = abort

    def close(self) -> None:
        """Close the output and then the socket, in the order of a connection."""
        self.output.close()
        if self.sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self.sock)
            self.sock.close()

    def is_free(self) -> bool:
        return self.output.free

    def available(self) -> bytes:
        """Return the bytes that the peer can read now."""
        data = b""
        try:
            while part := self.peer.recv(BIG):
                data += part
        except BlockingIOError:
            pass
        return data

    async def read(self, count: int) -> bytes:
        """Read ``count`` bytes as the peer, or fewer if the stream ends."""
        data = bytearray()
        while len(data) < count:
            await trio.lowlevel.wait_readable(self.peer)
            part = self.peer.recv(count - len(data))
            if not part:
                break
            data += part
        return bytes(data)

    async def read_irregularly(self, random_: random.Random) -> bytes:
        """Read up to the end, in pieces of random sizes and with random pauses."""
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
    """Open a rig for the block, and close its sockets after it.

    Args:
        nursery: runs the flushing trio tasks.
        timeout_seconds: write timeout of the output (s).
        pair: connected sockets, the output's first; a Unix socket pair when left out.
    """
    rig = Rig(nursery, *(pair or socket.socketpair()), timeout_seconds)
    try:
        yield rig
    finally:
        rig.close()
        rig.peer.close()
