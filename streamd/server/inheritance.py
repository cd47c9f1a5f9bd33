"""Listening sockets and a channel that a server process inherits from its supervisor.

The channel is one end of a socket pair. The process writes a byte to it when it accepts connections; its end
of file means that the supervisor is gone, also after SIGKILL, and that the process has to shut down.
"""

import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Self

import attrs
import trio

from ..errors import ConfigError

INHERIT_OPTION: Final = "--inherit"
"""The hidden option of `streamd serve` that takes :meth:`Inheritance.parse`'s text."""

FIRST: Final = 1
"""The number of the first process, which also runs the demo source."""

_READY: Final = b"\n"


@attrs.frozen
class Inheritance:
    """The part of a process that a supervisor has started; as a context manager, closes it at the end.

    Args:
        number: of the process, from :data:`FIRST` upwards; a restarted one has the number of its predecessor.
        channel: to the supervisor.
        sockets: listening.
    """

    number: int
    channel: socket.socket
    sockets: Sequence[socket.socket]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take over the file descriptors that the supervisor passed.

        Args:
            text: the number of the process and the descriptors of the channel and of the listening sockets,
                with commas in between.

        Raises:
            ConfigError: the text or a descriptor is invalid.
        """
        try:
            number, *descriptors = (int(part) for part in text.split(","))
            channel, *sockets = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        except (ValueError, OSError) as error:
            raise ConfigError(f"{INHERIT_OPTION} is set by `streamd serve --workers` only") from error
        for sock in (channel, *sockets):
            sock.set_inheritable(False)  # for programs that this process runs
            sock.setblocking(False)
        return cls(number, channel, sockets)

    def announce_ready(self) -> None:
        """Tell the supervisor that this process accepts connections."""
        with suppress(OSError):  # the supervisor is gone; `wait_orphaned` tells that
            self.channel.send(_READY)

    async def wait_orphaned(self) -> None:
        """Wait until the supervisor has ended."""
        while await _receive(self.channel):
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in (self.channel, *self.sockets):
            sock.close()


class SpawnedProcess:
    """A server process with its channel, made by :func:`spawn`."""

    def __init__(self, process: trio.Process, channel: socket.socket) -> None:
        self._process = process
        self._channel = channel

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait_ready(self) -> bool:
        """Wait until the process accepts connections; return False if it ends before that."""
        return await _receive(self._channel) == _READY

    async def wait(self) -> int:
        """Wait for the end of the process; return its exit status, or minus the number of its signal."""
        return await self._process.wait()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal; one to a process that has ended has no effect."""
        self._process.send_signal(number)

    def close(self) -> None:
        """Close the channel to the process; it shuts down if it still runs."""
        self._channel.close()


async def _receive(channel: socket.socket) -> bytes:
    """Wait for a byte; return none when the other end is closed."""
    while True:
        await trio.lowlevel.wait_readable(channel)
        try:
            return channel.recv(1)
        except BlockingIOError:
            pass
        except OSError:
            return b""


async def spawn(command: Sequence[str], listening: Sequence[socket.socket], number: int) -> SpawnedProcess:
    """Start a server process that inherits listening sockets.

    It has a session of its own, so that Ctrl-C and the end of a terminal reach the supervisor only, which
    then drains one process after another.

    Args:
        command: the program with its arguments; the text for :meth:`Inheritance.parse` is appended.
        listening: the sockets.
        number: of the process.

    Raises:
        OSError: the process cannot be started.
    """
    channel, inherited = socket.socketpair()
    try:
        with inherited:
            descriptors = [inherited.fileno(), *(sock.fileno() for sock in listening)]
            text = ",".join(map(str, (number, *descriptors)))
            process = await trio.lowlevel.open_process(
                [*command, f"{INHERIT_OPTION}={text}"],
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                start_new_session=True,
            )
        channel.setblocking(False)
    except BaseException:
        channel.close()
        raise
    return SpawnedProcess(process, channel)
