"""The end of systemd's notification socket, as a test receives from it."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import trio

ADDRESSES: Final = ("path", "abstract")
_MAX_BYTES: Final = 4096


class NotifySocket:
    """A datagram socket in the place of systemd's.

    Attributes:
        address: the value of ``NOTIFY_SOCKET``.
    """

    def __init__(self, sock: socket.socket, address: str) -> None:
        self.address = address
        self._sock = sock

    async def receive(self) -> dict[str, str]:
        """Wait for the next notification, and return its variables."""
        await trio.lowlevel.wait_readable(self._sock)
        [received] = self._receive(1)
        return received

    async def receive_state(self) -> dict[str, str]:
        """Wait for the next notification that is no ping of the watchdog."""
        while "WATCHDOG" in (received := await self.receive()):
            pass
        return received

    def pending(self) -> list[dict[str, str]]:
        """Take the notifications that have been sent, without waiting."""
        return list(self._receive(None))

    def _receive(self, count: int | None) -> Iterator[dict[str, str]]:
        while count is None or count > 0:
            try:
                text = self._sock.recv(_MAX_BYTES).decode()
            except BlockingIOError:
                return
            yield dict(line.split("=", 1) for line in text.splitlines())
            count = None if count is None else count - 1


@contextmanager
def notify_socket(folder: Path, kind: str = "path") -> Iterator[NotifySocket]:
    """Bind a socket to a path in ``folder``, or to an abstract name, while the block lasts.

    Args:
        folder: of the path; its name is part of the abstract name.
        kind: one of `ADDRESSES`.
    """
    address = str(folder / "notify") if kind == "path" else f"@streamd-test-{os.getpid()}-{folder.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{address[1:]}" if kind == "abstract" else address)
        sock.setblocking(False)
        yield NotifySocket(sock, address)
