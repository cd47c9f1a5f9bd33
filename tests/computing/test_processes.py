"""Worker processes: their limits, their queues, and their end with the server."""

import gc
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from weakref import ref

import psutil
import pytest
import trio
import trio.testing

from streamd.computing.computer import LARGE_BYTES, Computer
from streamd.computing.processes import WorkerProcesses
from streamd.computing.settings import ComputingSettings
from streamd.errors import InvalidField, TooLarge, Unavailable
from tests.support import computations
from tests.support.daemon import compute_in_daemon
from tests.support.program import ROOT
from tests.support.waiting import until


@asynccontextmanager
async def running(**settings: float) -> AsyncIterator[WorkerProcesses]:
    processes = WorkerProcesses(ComputingSettings(**settings))  # type: ignore[arg-type]
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(processes.serve)
            yield processes
            nursery.cancel_scope.cancel()


async def begun(folder: Path, count: int = 1) -> set[int]:
    """Wait until so many computations have written the ids of their processes into a folder."""

    def ids() -> list[str]:
        return [text for path in folder.iterdir() if (text := path.read_text())]

    await until(lambda: len(ids()) >= count)
    return {int(text) for text in ids()}


async def ended(pid: int) -> None:
    def has_ended() -> bool:
        return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE

    await until(has_ended)


async def test_a_large_computation_runs_in_another_process_and_a_small_one_here() -> None:
    async with running() as processes:
        computer, before = Computer("texts", processes), psutil.Process().children()
        assert await computer.run(LARGE_BYTES - 1, computations.process_id) == os.getpid()
        assert psutil.Process().children() == before, "no process starts for a small computation"
        assert await computer.run(LARGE_BYTES, computations.process_id) != os.getpid()


async def test_without_processes_threads_compute() -> None:
    async with running(processes=0) as processes:
        assert await Computer("texts", processes).run(LARGE_BYTES, computations.process_id) == os.getpid()
    assert await Computer("texts", processes).run(LARGE_BYTES, computations.process_id) == os.getpid()
    assert await Computer("texts").run(LARGE_BYTES, computations.process_id) == os.getpid()


async def test_a_worker_process_imports_no_server() -> None:
    async with running() as processes:
        for name in (
            "brand_monitor.analysis",
            "brand_monitor.requests",
            "purchase_orders.checking",
            "purchase_orders.confidence",
            "sentiment.items",
            "strategy.plan",
        ):
            modules = await processes.run(
                "texts", "body", computations.modules_with, f"streamd.services.{name}"
            )
            assert not {"trio", "quart", "hypercorn", "httpx", "apsw"} & modules


async def test_an_error_has_its_detail_and_its_field() -> None:
    async with running() as processes:
        with pytest.raises(InvalidField, match=r"^line 3 has no quantity$") as raised:
            await processes.run("texts", "body", computations.refuse, "line 3 has no quantity")
    assert raised.value.field == "line 3"


async def test_a_refused_text_is_freed_at_once() -> None:
    text = computations.Text("x" * LARGE_BYTES)
    freed = ref(text)
    async with running() as processes:
        gc.collect()
        gc.disable()
        try:
            with pytest.raises(InvalidField):
                await processes.run("texts", "body", computations.refuse_text, text)
            del text
            await until(lambda: freed() is None)
        finally:
            gc.enable()


async def test_a_fault_names_its_place_in_the_worker_process() -> None:
    async with running() as processes:
        with pytest.raises(ZeroDivisionError, match="a fault") as raised:
            await processes.run("texts", "body", computations.fail)
    assert any("in fail" in note for note in raised.value.__notes__)


async def test_a_large_result_is_unpickled_in_a_thread() -> None:
    async with running() as processes:
        _, thread = await processes.run("texts", "body", computations.unpickling_thread, 10)
        assert thread == threading.get_ident()
        _, thread = await processes.run("texts", "body", computations.unpickling_thread, 100_000)
        assert thread != threading.get_ident()


@pytest.mark.parametrize("computation", [computations.spin, computations.match_for_ever])
async def test_a_computation_that_takes_too_long_is_ended_with_an_error(computation: object) -> None:
    assert callable(computation)
    async with running(max_cpu_seconds=0.2) as processes:
        with pytest.raises(TooLarge, match=r"reading the body takes more than 0\.2 s") as raised:
            await processes.run("texts", "body", computation)
        assert raised.value.field == "body"
        assert await processes.run("texts", "body", computations.process_id)  # in a new process


async def test_a_computation_that_takes_too_much_memory_is_ended_with_an_error() -> None:
    async with running(max_memory_bytes=134_217_728) as processes:
        with pytest.raises(TooLarge, match="reading the body takes more than 128 MB of memory") as raised:
            await processes.run("texts", "body", computations.allocate, 134_217_728)
        assert raised.value.field == "body"


async def test_a_process_that_has_grown_is_replaced() -> None:
    async with running(max_memory_bytes=268_435_456) as processes:
        first = await processes.run("texts", "body", computations.process_id)
        assert await processes.run("texts", "body", computations.process_id) == first
        assert await processes.run("texts", "body", computations.keep, 134_217_728) == first
        assert await processes.run("texts", "body", computations.process_id) != first


async def test_a_computation_whose_process_was_killed_runs_once_more(tmp_path: Path) -> None:
    async with running() as processes:
        result = await processes.run("texts", "body", computations.die_at_first, str(tmp_path / "died"))
    assert result == "alive"


async def test_a_computation_that_kills_its_process_fails() -> None:
    async with running() as processes:
        with pytest.raises(Unavailable, match="cannot be read now"):
            await processes.run("texts", "body", computations.die)


async def test_cancelling_ends_the_process(tmp_path: Path) -> None:
    async with running() as processes:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(processes.run, "texts", "body", computations.spin, str(tmp_path / "pid"))
            [pid] = await begun(tmp_path)
            nursery.cancel_scope.cancel()
        await ended(pid)


async def test_another_kind_does_not_wait_for_a_flood_of_one_kind(tmp_path: Path) -> None:
    async with running(processes=2) as processes, trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(processes.run, "flood", "body", computations.spin, str(tmp_path / f"{number}"))
        await begun(tmp_path)
        assert await processes.run("other", "body", computations.process_id)
        assert len(await begun(tmp_path)) == 1, "one kind never takes all processes"
        nursery.cancel_scope.cancel()


async def test_a_full_queue_refuses_computations_of_its_kind_alone(tmp_path: Path) -> None:
    async with running(processes=2, max_waiting=2) as processes, trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(processes.run, "flood", "body", computations.spin, str(tmp_path / f"{number}"))
        await begun(tmp_path)
        with pytest.raises(Unavailable, match="too many large texts") as raised:
            await processes.run("flood", "body", computations.process_id)
        assert raised.value.retry_after_seconds is not None
        assert await processes.run("other", "body", computations.process_id)
        nursery.cancel_scope.cancel()


async def test_processes_end_with_the_pool_also_when_one_was_killed() -> None:
    async with running() as processes:
        pid = await processes.run("texts", "body", computations.process_id)
        os.kill(pid, signal.SIGKILL)
    await ended(pid)
    with pytest.raises(Unavailable):
        await processes.run("texts", "body", computations.process_id)


async def test_a_signal_to_the_process_group_leaves_the_end_to_the_server() -> None:
    async with running() as processes:
        pid = await processes.run("texts", "body", computations.process_id)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(pid, number)
        assert await processes.run("texts", "body", computations.process_id) == pid


_UNGUARDED = """
import sys, trio
from streamd.computing.processes import WorkerProcesses
from streamd.computing.settings import ComputingSettings
from streamd.errors import Unavailable
from tests.support import computations

async def main():
    processes = WorkerProcesses(ComputingSettings())
    async with trio.open_nursery() as nursery:
        await nursery.start(processes.serve)
        print("started", flush=True)
        try:
            await processes.run("texts", "body", computations.refuse_text, "x" * int(sys.argv[1]))
        except Unavailable:
            print("unavailable", flush=True)
        nursery.cancel_scope.cancel()

trio.run(main)
"""


@pytest.mark.parametrize("size", [1, 1_000_000])  # fits into the pipe to a process, or does not
async def test_a_main_module_without_a_guard_starts_no_second_server(tmp_path: Path, size: int) -> None:
    program = trio.Path(tmp_path / "program.py")
    await program.write_text(_UNGUARDED)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with trio.fail_after(60):
        ran = await trio.run_process(
            [sys.executable, str(program), str(size)],
            env=environment,
            capture_stdout=True,
            capture_stderr=True,
        )
    said = ran.stdout.decode().splitlines()
    assert said.count("started") == 1
    assert said[-1] == "unavailable"
    assert b'below `if __name__ == "__main__"` only' in ran.stderr


async def test_a_daemon_of_multiprocessing_computes_in_threads() -> None:
    with trio.fail_after(60):
        assert await trio.to_thread.run_sync(compute_in_daemon) == "in the daemon"


_SERVER = """
import sys, trio
from streamd.computing.processes import WorkerProcesses
from streamd.computing.settings import ComputingSettings
from tests.support import computations

async def main():
    processes = WorkerProcesses(ComputingSettings())
    async with trio.open_nursery() as nursery:
        await nursery.start(processes.serve)
        await processes.run("texts", "body", getattr(computations, sys.argv[2]), sys.argv[1] + "/pid")

trio.run(main)
"""


@pytest.mark.parametrize("computation", ["spin", "wait_for_ever", "write_process_id"])
async def test_no_process_outlives_a_server_that_is_killed(tmp_path: Path, computation: str) -> None:
    command = [sys.executable, "-c", _SERVER, str(tmp_path), computation]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            start = partial(trio.run_process, command, env=environment, check=False)
            server = await nursery.start(start)
            await begun(tmp_path)
            pids = {child.pid for child in psutil.Process(server.pid).children(recursive=True)}
            server.kill()
        assert await begun(tmp_path) <= pids
        for pid in pids:
            await ended(pid)
