"""One attack: a server, the normal clients beside it, and the phases before, during and after."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Self

import trio

from tests.hostile.attack import Attack
from tests.hostile.beside import NormalClients
from tests.hostile.figures import Phase, Row
from tests.hostile.process import HostileServer, hostile_server, waited_seconds
from tests.hostile.target import Target
from tests.support.program import command, environment

ROUNDS: Final = 2
BEFORE_SECONDS: Final = 2.0
AFTER_SECONDS: Final = 1.0
_WARM_UP_SECONDS: Final = 0.7
_ATTACK_GRACE_SECONDS: Final = 5.0
_FRAMES_SHOWN: Final = 3


class AttackerFailed(Exception):
    """The attacker's process raised an error, or did not come to an end."""


class Attacker:
    """The process that attacks, see :mod:`tests.hostile.attacker`. It is started for the first attack.

    As an asynchronous context manager, it ends the process.
    """

    def __init__(self) -> None:
        self._process: trio.Process | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def start(self) -> None:
        """Start the process, unless it runs."""
        if self._process is None:
            self._process = await trio.lowlevel.open_process(
                command(module="tests.hostile.attacker"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sys.stderr,
                env=environment(PYTHONWARNINGS="default"),
            )
            assert await self._answer() == "ready"

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with trio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    await pipe.aclose()

    async def _answer(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            part = bytes(await self._process.stdout.receive_some())
            if not part:
                break
            line += part
        return line.decode(errors="replace").strip()

    async def attack(self, attack: Attack, port: int) -> None:
        """Run an attack to its end.

        Raises:
            AttackerFailed: it raised an error, or took too long.
        """
        await self.start()
        assert self._process is not None
        assert self._process.stdin is not None
        answer = "it did not end"
        await self._process.stdin.send_all(f"{attack.name} {port}\n".encode())
        with trio.move_on_after(attack.seconds + _ATTACK_GRACE_SECONDS):
            answer = await self._answer()
        if answer != "done":
            await self._end()
            raise AttackerFailed(answer)


class _Meter:
    """Measures the phases of a run."""

    def __init__(self, server: HostileServer, clients: NormalClients) -> None:
        self._server = server
        self._clients = clients
        self.lines: list[dict[str, Any]] = []
        self._begin()

    def _begin(self) -> None:
        self._server.begin()
        self._began = trio.current_time()
        self._cpu_seconds = self._server.cpu_seconds
        self._waited_seconds = self._total_waited()

    def _total_waited(self) -> float:
        """Return how long the loop's thread and this one waited for a core: an event passes both (s)."""
        return self._server.waited_seconds + waited_seconds(os.getpid())

    async def end_phase(self) -> Phase:
        """End a phase, and begin the next."""
        latency, health = await self._clients.end_phase()
        lines = self._server.read_log()
        self.lines += lines
        server = self._server
        phase = Phase(
            trio.current_time() - self._began,
            latency,
            health,
            server.steps.step,
            server.steps.loop_pass,
            server.peak_bytes,
            server.files_peak,
            server.cpu_seconds - self._cpu_seconds,
            len(lines),
            self._total_waited() - self._waited_seconds,
        )
        self._begin()
        return phase


async def measure(attack: Attack, folder: Path, hostile: Attacker) -> Row:
    """Run an attack twice on a server of its own, with the normal clients beside it."""
    problem = ""
    during = []
    await hostile.start()
    async with hostile_server(attack, folder) as server:
        clients = NormalClients(Target(server.port, attack.tls))
        async with trio.open_nursery() as nursery:
            await nursery.start(clients.run)
            await trio.sleep(_WARM_UP_SECONDS)
            await clients.end_phase()
            meter = _Meter(server, clients)
            await trio.sleep(BEFORE_SECONDS)
            before = await meter.end_phase()
            meter.lines.clear()  # those of the start
            for _ in range(ROUNDS):
                try:
                    await hostile.attack(attack, server.port)
                except AttackerFailed as error:
                    problem = f"attacker: {error}"
                during.append(await meter.end_phase())
                if problem:
                    break
            await trio.sleep(AFTER_SECONDS)
            after = await meter.end_phase()
            nursery.cancel_scope.cancel()
        if server.is_killed:
            problem = "memory: over 1.5 GB, ended by the harness"
        elif not server.is_alive:
            problem = "the server ended"
    return Row(attack.name, attack.kind, before, during, after, _most_frequent(meter.lines), problem)


def _most_frequent(lines: Iterable[dict[str, Any]]) -> str:
    """Return the innermost functions of the stack that the lines about slow passes have most often."""
    stacks = Counter(
        tuple(line["ran"][-_FRAMES_SHOWN:])
        for line in lines
        if line.get("event") == "slow_pass" and line["ran"]
    )
    return " > ".join(stacks.most_common(1)[0][0]) if stacks else ""
