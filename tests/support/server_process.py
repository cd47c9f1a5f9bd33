"""streamd as a separate process, which has its own core and can receive signals."""

import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import attrs
import psutil
import trio

from tests.support.program import SECONDS, Program, started_on

ADDRESS = "streamd is listening on "


@attrs.frozen
class ServerProcess:
    """A server that accepts connections."""

    url: str
    program: Program

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def rss_bytes(self) -> int:
        """Resident memory."""
        return int(psutil.Process(self.program.process.pid).memory_info().rss)

    async def exit_status(self, seconds: float) -> int:
        """Wait until the process ends, and return its exit status."""
        with trio.fail_after(seconds):
            return await self.program.ended()


def server_process(
    *options: str, seconds: float = SECONDS, **settings: object
) -> AbstractAsyncContextManager[ServerProcess]:
    """Run ``streamd serve``, on a free port unless ``--bind`` is among the options.

    Args:
        options: further flags.
        seconds: timeout of the block (s).
        settings: passed as environment variables, such as ``connections__stale_seconds=1``.
    """
    return server_process_on(*options, settings=settings, seconds=seconds)


@asynccontextmanager
async def server_process_on(
    *options: str, settings: Mapping[str, object], seconds: float = SECONDS, stderr: int = subprocess.PIPE
) -> AsyncIterator[ServerProcess]:
    """Run ``streamd serve`` as :func:`server_process` does, with its standard error on a file descriptor."""
    variables = {f"STREAMD_{name.upper()}": str(value) for name, value in settings.items()}
    address = () if "--bind" in options else ("--bind", "127.0.0.1:0")
    command = ("serve", *address, *options)
    async with started_on(*command, stderr=stderr, variables=variables, seconds=seconds) as program:
        line = await program.line()
        assert line.startswith(ADDRESS), line
        yield ServerProcess(line.removeprefix(ADDRESS).split()[0], program)
