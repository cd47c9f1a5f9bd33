"""The time slice of appends: other trio tasks run, however many publishers there are."""

import pytest
import trio
import trio.testing

from streamd.log.memory import MemoryLog
from streamd.log.settings import LogSettings
from streamd.time_slice import TimeSlice
from tests.support.logs import draft

SLICE = 10.0


class StepClock:
    """A clock (s) that a call of the function under test takes forward."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Rig:
    """Callers of a time slice, each call of which takes a second, beside a trio task that counts passes."""

    def __init__(self) -> None:
        self.clock = StepClock()
        self.slice = TimeSlice(SLICE, self.clock)
        self.passes = 0
        self.calls: list[int] = []  # the pass of each

    async def count_passes(self) -> None:
        while True:
            self.passes += 1
            await trio.lowlevel.checkpoint()

    async def call(self, times: int) -> None:
        for _ in range(times):
            await self.slice.pause()
            self.clock.now += 1
            self.calls.append(self.passes)

    async def run(self, callers: int, times: int) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.count_passes)
            async with trio.open_nursery() as calling:
                for _ in range(callers):
                    calling.start_soon(self.call, times)
            nursery.cancel_scope.cancel()


async def test_a_caller_has_no_checkpoint_until_its_slice_is_used_up() -> None:
    rig = Rig()
    await rig.run(1, 100)
    in_pass = [rig.calls.count(number) for number in sorted(set(rig.calls))]
    assert max(in_pass) <= 2 * SLICE  # the counting task comes before or after it in a pass
    assert len(set(rig.calls)) >= 100 / SLICE / 2


@pytest.mark.parametrize("callers", [1, 30])
async def test_callers_with_checkpoints_of_their_own_have_no_others(callers: int) -> None:
    rig = Rig()
    calls: list[int] = []

    async def call() -> None:
        for _ in range(10):
            await trio.lowlevel.checkpoint()
            before = rig.passes
            await rig.slice.pause()
            calls.append(rig.passes - before)
            rig.clock.now += SLICE  # so each call uses up a slice

    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.count_passes)
        async with trio.open_nursery() as calling:
            for _ in range(callers):
                calling.start_soon(call)
        nursery.cancel_scope.cancel()
    assert calls == [0] * 10 * callers


def test_a_slice_lasts_for_several_runs_of_the_event_loop() -> None:
    rig = Rig()
    for _ in range(2):
        rig.calls.clear()
        trio.run(rig.run, 2, 60)
        assert max(rig.calls.count(number) for number in set(rig.calls)) <= 2 * (SLICE + 2)


@pytest.mark.parametrize("callers", [2, 30])
async def test_all_callers_together_have_one_slice_and_one_call_each_in_a_pass(callers: int) -> None:
    rig = Rig()
    await rig.run(callers, 60)
    # Between two counts lie the rest of one pass and the beginning of the next.
    most = 2 * (SLICE + callers)
    assert max(rig.calls.count(number) for number in set(rig.calls)) <= most
    assert rig.passes >= 60 * callers / most


async def test_a_cancelled_caller_leaves_the_slice_to_the_others() -> None:
    rig = Rig()
    with trio.CancelScope() as scope:
        scope.cancel()
        await rig.slice.pause()
    assert scope.cancelled_caught
    with trio.CancelScope() as scope:
        await rig.slice.pause()  # within the slice
        scope.cancel()
        await rig.slice.pause()
    assert scope.cancelled_caught
    await rig.run(3, 30)
    assert len(rig.calls) == 90


async def test_a_publisher_in_a_loop_lets_other_tasks_run() -> None:
    log = MemoryLog(LogSettings())
    event = draft("a", "x")
    passes = 0

    async def count_passes() -> None:
        nonlocal passes
        while True:
            passes += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count_passes)
        for _ in range(1_000_000):
            await log.append([event])
            if passes > 20:
                break
        nursery.cancel_scope.cancel()
    assert passes > 20


async def test_a_cancelled_append_appends_nothing_also_within_a_slice() -> None:
    log = MemoryLog(LogSettings())
    for _ in range(20):
        before = log.appended
        with trio.CancelScope() as scope:
            await log.append([draft("a", "x")])
            scope.cancel()
            await log.append([draft("a", "y")])
        assert scope.cancelled_caught
        assert log.appended == before + 1
