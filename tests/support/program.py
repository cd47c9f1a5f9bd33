"""A `streamd` command in a process, with its pipes."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import trio

from tests.support.forked import ForkedProcess, fork

SECONDS = 60  # timeout of a command
ROOT = Path(__file__).parents[2]


class Program:
    """A running command, made by :func:`started` and :func:`started_on`."""

    def __init__(self, process: trio.Process | ForkedProcess) -> None:
        self.process = process
        self._rest = {1: b"", 2: b""}

    async def write(self, text: str) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(text.encode())

    async def end_of_input(self) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.aclose()

    async def line(self, fd: int = 1) -> str:
        """Return the next line of standard output (1) or error (2)."""
        stream = self.process.stdout if fd == 1 else self.process.stderr
        assert stream is not None
        while b"\n" not in self._rest[fd]:
            data = await stream.receive_some()
            assert data, f"the output ended without a further line, after {self._rest[fd]!r}"
            self._rest[fd] += data
        line, _, self._rest[fd] = self._rest[fd].partition(b"\n")
        return line.decode()

    async def lines(self, count: int) -> list[str]:
        return [await self.line() for _ in range(count)]

    async def says(self, text: str) -> str:
        """Wait for a line of standard error with ``text`` in it."""
        while text not in (line := await self.line(2)):
            pass
        return line

    async def rest(self, fd: int = 1) -> str:
        """Return the rest of an output, up to its end."""
        stream = self.process.stdout if fd == 1 else self.process.stderr
        assert stream is not None
        data = self._rest[fd] + b"".join([bytes(chunk) async for chunk in stream])
        return data.decode()

    async def ended(self) -> int:
        return await self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


def command(*arguments: str, module: str = "streamd") -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment with warnings as errors, and without settings of streamd.

    Args:
        variables: further ones; an empty one is left out.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("STREAMD_", "DEBUG"))}
    ours |= {"PYTHONWARNINGS": "error", "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    # Tasks stay in memory: the default is a file in the working directory. A line for each request would
    # fill the pipe of standard error, which most tests do not read.
    ours |= {"STREAMD_STORE__URL": "memory:", "STREAMD_LOGGING__LEVEL": "warning"}
    # No warnings of slow passes, which a machine under load has.
    ours |= {"STREAMD_SERVER__SLOW_PASS_MS": "0", **variables}
    return {name: value for name, value in ours.items() if value}


def started(*arguments: str, **variables: str) -> AbstractAsyncContextManager[Program]:
    """Run a command on pipes while the block lasts, with further environment variables."""
    return started_on(*arguments, variables=variables)


@asynccontextmanager
async def started_on(
    *arguments: str,
    stdin: int = subprocess.PIPE,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    variables: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
    module: str = "streamd",
) -> AsyncIterator[Program]:
    """Run a command while the block lasts, for at most ``seconds``. Its end kills the command.

    Commands of streamd are forked from a process that has imported it, but for those that start processes of
    their own, and those with variables of Python itself.
    """
    env = environment(**(variables or {}))
    is_forked = (
        module == "streamd"
        and not {"--workers", "check-services"}.intersection(arguments)
        and not any(name.startswith("PYTHON") for name in variables or ())
    )
    process: trio.Process | ForkedProcess
    with trio.fail_after(seconds):
        if is_forked:
            process = await fork(list(arguments), env, stdin, stdout, stderr)
        else:
            process = await trio.lowlevel.open_process(
                command(*arguments, module=module), stdin=stdin, stdout=stdout, stderr=stderr, env=env
            )
        try:
            yield Program(process)
        finally:
            if process.returncode is None:
                process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    await trio.aclose_forcefully(pipe)


async def run(*arguments: str, input: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    async with started_on(*arguments, variables=variables) as program, trio.open_nursery() as nursery:
        outputs = {1: "", 2: ""}

        async def read(fd: int) -> None:
            outputs[fd] = await program.rest(fd)

        async def write() -> None:
            with suppress(trio.BrokenResourceError):  # as trio.run_process
                await program.write(input)
            await program.end_of_input()

        for fd in outputs:
            nursery.start_soon(read, fd)
        nursery.start_soon(write)
        status = await program.ended()
    return subprocess.CompletedProcess(arguments, status, outputs[1], outputs[2])
