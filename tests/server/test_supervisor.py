"""The supervisor's decisions, on a virtual clock with processes that a test controls."""

import errno
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from streamd.outbound import Backoff
from streamd.server import Supervisor
from streamd.server.supervisor import BACKOFF
from tests.support.fake_children import FakeChildren

STOP_SECONDS = 15.0


class Rig:
    """A supervisor of fake processes."""

    def __init__(self, count: int) -> None:
        self.children = FakeChildren()
        self.announcements: list[float] = []  # when all were ready (s)
        self.signals_before_close: list[list[signal.Signals]] | None = None
        self.status: int | None = None
        self.ended = trio.Event()
        self.supervisor = Supervisor(
            self.children.start,
            count,
            stop_seconds=STOP_SECONDS,
            on_ready=lambda: self.announcements.append(trio.current_time()),
            close_listeners=self._close_listeners,
            backoff=Backoff(initial_seconds=1, max_seconds=30, jitter=0),
        )

    def _close_listeners(self) -> None:
        assert self.signals_before_close is None, "they are closed once"
        self.signals_before_close = [[*child.signals] for child in self.children.by_number]

    async def run(self) -> None:
        self.status = await self.supervisor.run()
        self.ended.set()

    async def start_all(self) -> None:
        """Let all processes get ready."""
        while not self.announcements:
            await wait_all_tasks_blocked()
            for child in self.children.started:
                child.get_ready()

    def finish(self) -> None:
        """Stop, with processes that end when they are told to."""
        for child in self.children.started:
            child.ends_on_sigterm = True
        self.supervisor.stop()


@asynccontextmanager
async def supervised(count: int) -> AsyncIterator[Rig]:
    """Run a supervisor, which has stopped by the end of the block."""
    rig = Rig(count)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.run)
        yield rig
        await wait_all_tasks_blocked()
        assert rig.ended.is_set()
        assert all(child.is_closed for child in rig.children.started)


async def test_the_first_process_starts_alone_and_all_are_announced_once() -> None:
    async with supervised(3) as rig:
        await wait_all_tasks_blocked()
        assert rig.children.numbers == [1]
        for number in range(3):
            assert len(rig.announcements) == 0
            rig.children.by_number[number].get_ready()
            await wait_all_tasks_blocked()
            assert rig.children.numbers == [1, 2, 3]
        assert len(rig.announcements) == 1
        rig.finish()
    assert rig.status == 0


async def test_restarts_back_off_exponentially(autojump_clock: MockClock) -> None:
    async with supervised(2) as rig:
        await rig.start_all()
        waits = []
        for _ in range(7):
            ended_at = trio.current_time()
            rig.children.newest.end(1)
            await trio.sleep(40)
            waits.append(rig.children.newest.started_at - ended_at)
        assert waits == [1, 2, 4, 8, 16, 30, 30]
        assert rig.children.numbers == [1] + [2] * 8
        assert len(rig.announcements) == 1
        rig.finish()


def test_the_backoff_has_jitter() -> None:
    assert BACKOFF.jitter > 0
    assert (BACKOFF.initial_seconds, BACKOFF.max_seconds) == (1, 30)


@pytest.mark.parametrize(("ran_seconds", "wait_seconds"), [(59.0, 2), (60.0, 1)])
async def test_a_minute_resets_the_backoff(
    autojump_clock: MockClock, ran_seconds: float, wait_seconds: float
) -> None:
    async with supervised(1) as rig:
        await rig.start_all()
        rig.children.newest.end(-signal.SIGKILL)
        await trio.sleep(1.25)
        second = rig.children.newest
        second.get_ready()
        await trio.sleep_until(second.started_at + ran_seconds)
        second.end(0)
        await trio.sleep(5)
        assert rig.children.newest.started_at == second.started_at + ran_seconds + wait_seconds
        rig.finish()


async def test_a_process_ended_by_a_real_time_signal_is_restarted(autojump_clock: MockClock) -> None:
    async with supervised(1) as rig:
        await rig.start_all()
        rig.children.newest.end(-(signal.SIGRTMIN + 1))  # it has no name
        await trio.sleep(1.25)
        assert rig.children.numbers == [1, 1]
        rig.finish()


async def test_a_process_that_cannot_be_started_again_is_tried_again(autojump_clock: MockClock) -> None:
    async with supervised(1) as rig:
        await rig.start_all()
        rig.children.errors.append(OSError(errno.EAGAIN, "no more processes"))
        rig.children.newest.end(1)
        await trio.sleep(1 + 2 - 0.25)
        assert rig.children.numbers == [1]
        await trio.sleep(0.5)
        assert rig.children.numbers == [1, 1]
        rig.finish()


@pytest.mark.parametrize(("status", "exit_status"), [(2, 2), (1, 1), (0, 1), (-signal.SIGKILL, 137)])
@pytest.mark.parametrize("failing", [1, 2])
async def test_a_failed_first_start_stops_all_with_its_status(
    failing: int, status: int, exit_status: int
) -> None:
    async with supervised(3) as rig:
        await wait_all_tasks_blocked()
        if failing > 1:
            rig.children.newest.get_ready()
            await wait_all_tasks_blocked()
        for child in rig.children.started:
            child.ends_on_sigterm = True
        rig.children.by_number[failing - 1].end(status)
    assert rig.status == exit_status
    assert not rig.announcements
    assert rig.children.numbers == ([1] if failing == 1 else [1, 2, 3])


async def test_a_first_start_without_a_process_stops_with_status_1() -> None:
    async with supervised(2) as rig:
        rig.children.errors.append(OSError(errno.ENOMEM, "no memory"))
    assert rig.status == 1
    assert not rig.children.started


async def test_processes_are_drained_in_turn_and_listeners_close_before_the_last() -> None:
    async with supervised(3) as rig:
        await rig.start_all()
        rig.supervisor.stop()
        for turn, child in enumerate(rig.children.by_number):
            await wait_all_tasks_blocked()
            signals = [each.signals for each in rig.children.by_number]
            assert signals == [[signal.SIGTERM]] * (turn + 1) + [[]] * (2 - turn)
            assert not rig.ended.is_set()
            child.end()
    assert rig.status == 0
    assert rig.signals_before_close == [[signal.SIGTERM], [signal.SIGTERM], []]


async def test_a_process_that_does_not_end_in_time_is_killed(autojump_clock: MockClock) -> None:
    async with supervised(2) as rig:
        await rig.start_all()
        rig.supervisor.stop()
        stopped_at = trio.current_time()
        await rig.ended.wait()
        assert trio.current_time() - stopped_at == 2 * STOP_SECONDS
    assert rig.status == 0
    assert [child.signals for child in rig.children.started] == [[signal.SIGTERM, signal.SIGKILL]] * 2


async def test_no_process_is_restarted_once_stopping() -> None:
    async with supervised(3) as rig:
        await rig.start_all()
        rig.supervisor.stop()
        await wait_all_tasks_blocked()
        for child in reversed(rig.children.by_number):
            child.end(1)
            await wait_all_tasks_blocked()
    assert rig.children.numbers == [1, 2, 3]


async def test_a_stop_during_the_backoff_does_not_wait_for_it(autojump_clock: MockClock) -> None:
    async with supervised(1) as rig:
        await rig.start_all()
        rig.children.newest.end(1)
        await trio.sleep(0.5)
        rig.supervisor.stop()
        await rig.ended.wait()
        assert trio.current_time() == 0.5
    assert rig.children.numbers == [1]


async def test_a_process_that_is_not_ready_is_drained_as_well() -> None:
    async with supervised(2) as rig:
        await wait_all_tasks_blocked()
        rig.finish()
    assert rig.status == 0
    assert [child.signals for child in rig.children.started] == [[signal.SIGTERM]]
    assert not rig.announcements


async def test_a_process_that_a_stop_finds_unborn_is_killed() -> None:
    async with supervised(2) as rig:
        rig.children.may_start = trio.Event()
        await wait_all_tasks_blocked()
        rig.supervisor.stop()
        await wait_all_tasks_blocked()
        assert not rig.ended.is_set()
        rig.children.may_start.set()
    assert rig.status == 0
    assert [child.signals for child in rig.children.started] == [[signal.SIGKILL]]


async def test_sighup_reaches_a_starting_process_when_it_is_ready() -> None:
    async with supervised(2) as rig:
        await wait_all_tasks_blocked()
        first = rig.children.newest
        rig.supervisor.reload()
        assert first.signals == []
        first.get_ready()
        await wait_all_tasks_blocked()
        assert first.signals == [signal.SIGHUP]
        second = rig.children.newest
        second.get_ready()
        await wait_all_tasks_blocked()
        assert second.signals == [], "it started after the signal"
        rig.supervisor.reload()
        assert (first.signals, second.signals) == ([signal.SIGHUP] * 2, [signal.SIGHUP])
        rig.finish()


async def test_all_processes_can_be_killed_at_once() -> None:
    async with supervised(2) as rig:
        await rig.start_all()
        rig.supervisor.stop()
        await wait_all_tasks_blocked()
        rig.supervisor.kill()
    assert all(signal.SIGKILL in child.signals for child in rig.children.started)
