"""``streamd serve --workers`` with its processes, which a test stops, kills and asks one by one."""

import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import attrs
import httpx
import psutil

from streamd.services import SERVICES
from tests.support.program import Program, started_on
from tests.support.server_process import ADDRESS
from tests.support.unshared_workers import MODULE
from tests.support.waiting import until

APP = "tests.support.worker_app:make"


def is_gone(process: psutil.Process) -> bool:
    """Return True for a process that has ended, whether or not its parent has noticed."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _stopped(process: psutil.Process) -> bool:
    return bool(process.status() == psutil.STATUS_STOPPED)


def _number_of(process: psutil.Process) -> int:
    [text] = [part for part in process.cmdline() if part.startswith("--inherit=")]
    return int(text.removeprefix("--inherit=").split(",")[0])


@attrs.frozen
class WorkerServer:
    """A supervisor whose processes accept connections, with log lines in JSON."""

    url: str
    program: Program
    processes: list[psutil.Process]
    """The processes at the start, in the order of their numbers."""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def supervisor(self) -> psutil.Process:
        return psutil.Process(self.program.process.pid)

    async def logged(self, event: str) -> dict[str, Any]:
        """Wait for a log line of an event."""
        while True:
            entry: dict[str, Any] = json.loads(await self.program.line(2))
            if entry["event"] == event:
                return entry

    async def answering_pid(self) -> int:
        """Return the process that answers a request on a new connection."""
        async with httpx.AsyncClient(timeout=60) as http:
            return int((await http.get(f"{self.url}/pid")).text)

    @asynccontextmanager
    async def stopped(self, *processes: psutil.Process) -> AsyncIterator[None]:
        """Stop processes with SIGSTOP while the block lasts."""
        for process in processes:
            process.suspend()
        try:
            await until(lambda: all(_stopped(process) for process in processes))
            yield
        finally:
            for process in processes:
                process.resume()

    async def all_gone(self) -> None:
        """Wait until the processes of the start have ended."""
        await until(lambda: all(map(is_gone, self.processes)))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        self.program.signal(number)


@contextmanager
def _killed_at_the_end(program: Program) -> Iterator[list[psutil.Process]]:
    """Kill the supervisor, its present children and those of the list, also if they are stopped."""
    known: list[psutil.Process] = []
    try:
        yield known
    finally:
        if program.process.returncode is None:
            supervisor = psutil.Process(program.process.pid)
            supervisor.suspend()  # it starts no further process
            known += supervisor.children()
            supervisor.kill()
        for process in known:
            with suppress(psutil.NoSuchProcess):
                process.kill()


@asynccontextmanager
async def worker_server(workers: int, *options: str, **settings: str) -> AsyncIterator[WorkerServer]:
    """Run ``streamd serve --workers`` on a free port.

    Args:
        workers: number of processes.
        options: further flags.
        settings: passed as environment variables, such as ``server__drain_seconds=1``.
    """
    variables = {f"STREAMD_{name.upper()}": value for name, value in settings.items()}
    variables = {
        "STREAMD_LOGGING__LEVEL": "server=info,cli=info,*=warning",
        "STREAMD_LOGGING__FORMAT": "json",
        # No process imports the services, a fifth of its start.
        **{f"STREAMD_{name.upper()}__ENABLED": "false" for name in SERVICES},
        **variables,
    }
    command = ("serve", "--bind", "127.0.0.1:0", "--workers", str(workers), "--app", APP, *options)
    async with started_on(*command, variables=variables, module=MODULE) as program:
        with _killed_at_the_end(program) as known:
            line = await program.line()
            assert line.startswith(ADDRESS), line
            processes = sorted(psutil.Process(program.process.pid).children(), key=_number_of)
            known.extend(processes)
            assert len(processes) == workers
            yield WorkerServer(line.removeprefix(ADDRESS), program, processes)
