"""Commands of streamd that are forked from :mod:`tests.support.fork_server`, which has imported it."""

import atexit
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import attrs
import trio

from tests.support.fork_server import MODULE, ForkOrder

_START_SECONDS: Final = 60
_END_SECONDS: Final = 20


class ForkedProcess:
    """A running command, made by :func:`fork`, with the methods of :class:`trio.Process` that tests use."""

    def __init__(self, pid: int, answers: socket.socket, pipes: Mapping[int, trio.lowlevel.FdStream]) -> None:
        self.pid: Final = pid
        self.stdin: Final = pipes.get(0)
        self.stdout: Final = pipes.get(1)
        self.stderr: Final = pipes.get(2)
        self._answers: Final = answers
        self._status: int | None = None

    @property
    def returncode(self) -> int | None:
        """The exit status, a signal's number negated; None while the process runs."""
        if self._status is None:
            try:
                text = self._answers.recv(100)
            except BlockingIOError:
                return None
            assert text, "the fork server has ended"
            self._status = int(text)
            self._answers.close()
        return self._status

    async def wait(self) -> int:
        """Wait until the process ends, and return its exit status."""
        while (status := self.returncode) is None:
            await trio.lowlevel.wait_readable(self._answers)
        await trio.lowlevel.checkpoint()
        return status

    def wait_blocking(self, seconds: float) -> int:
        """Wait outside of trio until the process ends, and return its exit status.

        Raises:
            TimeoutError: it has not ended in time (s).
        """
        while (status := self.returncode) is None:
            _wait_readable(self._answers, seconds)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process, unless it has ended."""
        self.send_signal(signal.SIGKILL)


@cache
def _fork_server() -> socket.socket:
    """Start the fork server, which ends with this process, and return the socket for orders."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # Warnings are errors in the commands, too; all other variables are those of the orders.
    env = {**os.environ, "PYTHONWARNINGS": "error", "PYTHONPATH": str(Path(__file__).parents[2])}
    with theirs:
        process = subprocess.Popen([sys.executable, "-m", MODULE], stdin=theirs.fileno(), env=env)

    def end() -> None:
        ours.close()
        process.wait(_END_SECONDS)

    atexit.register(end)
    return ours


async def fork(arguments: list[str], variables: dict[str, str], *streams: int) -> ForkedProcess:
    """Start a command of streamd.

    Args:
        arguments: of ``streamd``.
        variables: its whole environment.
        streams: standard input, output and error: file descriptors, ``subprocess.PIPE`` or ``DEVNULL``.
    """
    answers, pipes = _order(arguments, variables, streams)
    with trio.fail_after(_START_SECONDS):
        await trio.lowlevel.wait_readable(answers)
    return ForkedProcess(_pid(answers), answers, pipes)


def fork_blocking(arguments: list[str], variables: dict[str, str], *streams: int) -> ForkedProcess:
    """Start a command as :func:`fork` does, outside of trio. Its streams are no pipes."""
    answers, pipes = _order(arguments, variables, streams)
    _wait_readable(answers, _START_SECONDS)
    return ForkedProcess(_pid(answers), answers, pipes)


def _order(
    arguments: list[str], variables: dict[str, str], streams: tuple[int, ...]
) -> tuple[socket.socket, dict[int, trio.lowlevel.FdStream]]:
    """Order a command; return the socket for answers, and this end of the pipes."""
    control = _fork_server()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    order = ForkOrder(arguments, variables, str(Path.cwd()), limits)
    message = json.dumps(attrs.asdict(order)).encode()  # takes surrogates: bytes that are no UTF-8
    answers, theirs = socket.socketpair()
    given, ours, opened = [theirs.fileno()], {}, [theirs.detach()]
    for number, stream in enumerate(streams):
        if stream == subprocess.PIPE:
            read, write = os.pipe()
            mine, stream = (write, read) if number == 0 else (read, write)  # noqa: PLW2901
            ours[number] = trio.lowlevel.FdStream(mine)
            opened.append(stream)
        elif stream == subprocess.DEVNULL:
            stream = os.open(os.devnull, os.O_RDWR)  # noqa: PLW2901
            opened.append(stream)
        given.append(stream)
    try:
        socket.send_fds(control, [message], given)
    finally:
        for fd in opened:
            os.close(fd)
    answers.setblocking(False)
    return answers, ours


def _pid(answers: socket.socket) -> int:
    """Read the first answer."""
    text = b""
    while not text.endswith(b"\n"):  # not beyond the line: the exit status may follow
        part = answers.recv(1)
        assert part, "the fork server has ended"
        text += part
    return int(text)


def _wait_readable(answers: socket.socket, seconds: float) -> None:
    if not select.select([answers], [], [], seconds)[0]:
        raise TimeoutError(f"no answer within {seconds} s")
