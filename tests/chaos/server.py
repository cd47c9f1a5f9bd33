"""The server under test: processes one after the other, on the same files."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import attrs
import trio

from tests.chaos.history import Life
from tests.chaos.preload import Preload, wall_clock_ms
from tests.support.program import Program, environment

START_SECONDS: Final = 30  # timeout of a start
_ADDRESS: Final = "streamd is listening on "


class ServerFailed(Exception):
    """The server ended by itself, or did not start."""


@attrs.define
class _Process:
    """One server process."""

    pid: int
    listening: trio.Event = attrs.field(factory=trio.Event)
    ended: trio.Event = attrs.field(factory=trio.Event)
    port: int = 0
    is_wanted: bool = True  # nobody has ended it on purpose


class Server:
    """A server that can be killed and started again. Make one with :func:`launched`.

    Attributes:
        up: set while a process accepts connections.
        lives: its processes that accepted connections.
        preload: sets its clock and fills its disk; None where that is not possible.
    """

    def __init__(
        self,
        launcher: Program,
        preload: Preload | None,
        arguments: Sequence[str],
        settings: Mapping[str, str],
    ) -> None:
        self.up = trio.Event()
        self.lives: list[Life] = []
        self.preload: Final = preload
        self._launcher = launcher
        self._order = json.dumps({"arguments": list(arguments), "variables": dict(settings)}) + "\n"
        self._process: _Process | None = None
        self._new_process = trio.Event()
        self._failed = trio.Event()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def port(self) -> int:
        assert self._process is not None
        return self._process.port

    async def read_lines(self) -> None:
        """Follow the launcher's output until it ends, or the server ends by itself.

        Raises:
            ServerFailed: the server ended and was not meant to.
        """
        while True:
            line = await self._launcher.line()
            name, _, rest = line.partition(" ")
            if name == "started":
                self._process = _Process(int(rest))
                self._new_process.set()
            elif name == "ended":
                self._end(*map(int, rest.split()))
            elif line.startswith(_ADDRESS) and self._process is not None:
                self._process.port = int(line.rpartition(":")[2])
                self._process.listening.set()

    def _end(self, pid: int, status: int) -> None:
        assert self._process is not None
        assert self._process.pid == pid
        self._process.ended.set()
        if self._process.is_wanted:
            raise ServerFailed(f"the server ended by itself with status {status}")

    async def begin(self) -> None:
        """Start a process, and do not wait until it is ready."""
        self._new_process = trio.Event()
        await self._launcher.write(self._order)
        with trio.fail_after(START_SECONDS):
            await self._new_process.wait()

    async def start(self) -> None:
        """Start a process, and wait until it accepts connections."""
        earliest_ms = wall_clock_ms(self.preload)
        await self.begin()
        assert self._process is not None
        with trio.move_on_after(START_SECONDS) as waiting:
            await self._process.listening.wait()
        if waiting.cancelled_caught:
            raise ServerFailed(f"the server does not listen after {START_SECONDS} s")
        self.lives.append(Life(earliest_ms, wall_clock_ms(self.preload)))
        self.up.set()

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal that ends the process, and wait for its end."""
        assert self._process is not None
        self._process.is_wanted = False
        if self.up.is_set():  # otherwise clients wait for it already
            self.up = trio.Event()
        os.kill(self._process.pid, number)
        with trio.fail_after(START_SECONDS):
            await self._process.ended.wait()


@asynccontextmanager
async def launched(
    folder: Path,
    preload: Preload | None,
    arguments: Sequence[str],
    settings: Mapping[str, object],
    others: Mapping[str, str],
) -> AsyncIterator[Server]:
    """Prepare a server, which the block starts; the end of the block kills it.

    Args:
        folder: gets ``server.log``, the standard error of all processes.
        preload: the library to start it with.
        arguments: of ``streamd``.
        settings: as environment variables, such as ``server__drain_seconds=1``.
        others: further environment variables.
    """
    variables = dict(others) | {f"STREAMD_{name.upper()}": str(value) for name, value in settings.items()}
    with (folder / "server.log").open("ab") as log:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "tests.chaos.launcher"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            # Without warnings as errors: as an operator runs it.
            env=environment(PYTHONWARNINGS="", **(preload.variables if preload is not None else {})),
        )
    server = Server(Program(process), preload, arguments, variables)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.read_lines)
            yield server
            nursery.cancel_scope.cancel()
    finally:
        process.kill()  # the server dies with it
        with trio.CancelScope(shield=True):
            await process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                await trio.aclose_forcefully(pipe)
