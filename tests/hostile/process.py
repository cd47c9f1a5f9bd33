"""The server's process, and what the system says about it: memory, descriptors, CPU, lines of its log."""

import json
import os
import resource
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import psutil
import trio

from tests.hostile.attack import Attack
from tests.hostile.steps import FILE_VARIABLE, StepFigures
from tests.support.certificates import write_certificate
from tests.support.forked import ForkedProcess, fork
from tests.support.program import command, environment
from tests.support.server_process import ADDRESS

APP: Final = "tests.hostile.app:make"
RSS_BYTES_MAX: Final = 1_500_000_000  # above it the harness ends the server, to protect the machine
SLOW_PASS_MS: Final = 50
_SAMPLE_SECONDS: Final = 0.05
_START_SECONDS: Final = 30.0
_RESET_PEAK: Final = "5"  # resets VmHWM (proc(5), clear_refs)


@attrs.define
class HostileServer:
    """A running server.

    Args:
        pid: of the process.
        port: on the loopback.
        steps: figures of its event loop.
        log: the file with its standard error.
        files_peak: largest number of open descriptors since :meth:`begin`.
        is_killed: its memory passed the bound, so that the harness has ended it.
    """

    pid: int
    port: int
    steps: StepFigures
    log: Path
    process: psutil.Process
    files_peak: int = 0
    is_killed: bool = False
    log_read: int = 0

    def begin(self) -> None:
        """Begin a phase: forget the peaks so far."""
        self.steps.begin()
        self.files_peak = 0
        with suppress(OSError):
            Path(f"/proc/{self.pid}/clear_refs").write_text(_RESET_PEAK)

    @property
    def is_alive(self) -> bool:
        """The process runs."""
        with suppress(psutil.Error):
            return self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE
        return False

    @property
    def peak_bytes(self) -> int:
        """The largest resident memory since :meth:`begin` (VmHWM)."""
        with suppress(OSError):
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return 0

    @property
    def files(self) -> int:
        """The number of open descriptors."""
        with suppress(OSError):
            return len(os.listdir(f"/proc/{self.pid}/fd"))  # noqa: PTH208 - names alone, 20 times a second
        return 0

    @property
    def cpu_seconds(self) -> float:
        """The CPU time of all threads so far."""
        with suppress(psutil.Error):
            times = self.process.cpu_times()
            return float(times.user + times.system)
        return 0.0

    @property
    def waited_seconds(self) -> float:
        """The time so far in which the event loop's thread was ready, and no core was free for it."""
        return waited_seconds(self.pid)

    def read_log(self) -> list[dict[str, Any]]:
        """Return the lines of the log since the last call; one that is no JSON has the key ``text`` alone."""
        with self.log.open("rb") as file:
            file.seek(self.log_read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self.log_read += len(whole)
        return [_parse(line) for line in whole.splitlines()]

    async def watch(self) -> None:
        """Look at memory and descriptors until cancelled; end the server above the bound."""
        while self.is_alive:
            self.files_peak = max(self.files_peak, self.files)
            with suppress(psutil.Error):
                if self.process.memory_info().rss > RSS_BYTES_MAX:
                    self.is_killed = True
                    self.process.kill()
            await trio.sleep(_SAMPLE_SECONDS)


def waited_seconds(pid: int) -> float:
    """Return how long the main thread of a process has waited for a core (proc(5), schedstat; s)."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    return 0.0


async def _start(
    arguments: list[str], variables: dict[str, str], errors: int, max_files: int | None
) -> trio.Process | ForkedProcess:
    """Start a server: forked from a process that has imported it, or with a limit of its own for files."""
    if max_files is None:
        return await fork(arguments, variables, subprocess.DEVNULL, subprocess.PIPE, errors)
    limit_files = partial(resource.setrlimit, resource.RLIMIT_NOFILE, (max_files, max_files))
    return await trio.lowlevel.open_process(
        command(*arguments), stdout=subprocess.PIPE, stderr=errors, env=variables, preexec_fn=limit_files
    )


def _parse(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"text": line.decode(errors="replace")}


@asynccontextmanager
async def hostile_server(attack: Attack, folder: Path) -> AsyncIterator[HostileServer]:
    """Run a server for an attack on a free port of the loopback, until the block ends."""
    await trio.Path(folder).mkdir(parents=True, exist_ok=True)
    steps, log = folder / "steps", folder / "log"
    figures = StepFigures(steps)
    variables = {
        "STREAMD_LOGGING__FORMAT": "json",
        "STREAMD_LOGGING__LEVEL": "info",
        "STREAMD_SERVER__SLOW_PASS_MS": str(SLOW_PASS_MS),
        "STREAMD_SERVER__DRAIN_SECONDS": "0.1",
        FILE_VARIABLE: str(steps),
    }
    variables |= {f"STREAMD_{name.upper()}": str(value) for name, value in attack.settings.items()}
    options = [option.format(folder=folder) for option in attack.options]
    if "--log" not in options:
        options += ["--log", "memory:"]
    if attack.tls:
        certificate = write_certificate(folder)
        options += ["--certfile", certificate]
        variables["STREAMD_SERVER__KEYFILE"] = certificate
    with log.open("wb") as errors:
        arguments = ["serve", "--bind", "127.0.0.1:0", "--app", APP, *options]
        process = await _start(arguments, environment(**variables), errors.fileno(), attack.max_files)
    try:
        assert process.stdout is not None
        line = b""
        with trio.fail_after(_START_SECONDS):
            while not line.endswith(b"\n"):
                part = bytes(await process.stdout.receive_some())
                assert part, log.read_text()
                line += part
        url = line.decode().removeprefix(ADDRESS).split()[0]
        server = HostileServer(
            process.pid, int(url.rpartition(":")[2]), figures, log, psutil.Process(process.pid)
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.watch)
            yield server
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.wait()
            if process.stdout is not None:
                await process.stdout.aclose()
