"""Slots of tasks that run in this process: the maximum in total, and the reserve of each kind."""

from collections import Counter
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from streamd.tasks import Kind, Progress, Status
from streamd.tasks.slots import KindSlots
from tests.support.task_rig import run_rig

Clock = trio.testing.MockClock


class Bench:
    """Kinds whose tasks take a minute, and the tasks that run.

    Attributes:
        running: the number of running tasks, by kind.
        most: the largest number of tasks that ran at once.
        begun: the kinds of the tasks, in the order of their starts.
    """

    def __init__(self, *names: str) -> None:
        self.running: Counter[str] = Counter()
        self.most = 0
        self.begun: list[str] = []
        self.kinds = [Kind(name=name, work=self._work, timeout_seconds=86_400) for name in names]

    async def _work(self, progress: Progress) -> Any:
        kind = progress.task.kind
        self.begun.append(kind)
        self.running[kind] += 1
        self.most = max(self.most, self.running.total())
        try:
            await trio.sleep(60)
        finally:
            self.running[kind] -= 1


async def test_a_hundred_tasks_of_one_kind_do_not_hold_up_another(autojump_clock: Clock) -> None:
    bench = Bench("analysis", "research", "order")
    async with run_rig(kinds=bench.kinds, max_running=12) as rig:
        for _ in range(100):
            await rig.tasks.create("analysis")
        await trio.testing.wait_all_tasks_blocked()
        for kind in ("research", "order"):
            began_at = trio.current_time()
            task = await rig.tasks.create(kind)
            await trio.testing.wait_all_tasks_blocked()
            assert (await rig.tasks.get(task.id)).status is Status.RUNNING
            assert trio.current_time() == began_at
        assert bench.running == {"analysis": 8, "research": 1, "order": 1}
        assert bench.most <= 12


async def test_kinds_share_the_slots_evenly_and_never_exceed_the_maximum(autojump_clock: Clock) -> None:
    bench = Bench("a", "b", "c")
    async with run_rig(kinds=bench.kinds, max_running=12) as rig:
        for kind in "abc":
            for _ in range(40):
                await rig.tasks.create(kind)
        for _ in range(3):
            await trio.sleep(59)
            assert bench.running.total() == 12
        await trio.sleep(60)
        assert bench.running == {"a": 4, "b": 4, "c": 4}
        assert bench.most == 12
        while await rig.tasks.list(status=Status.PENDING):  # noqa: ASYNC110 - the clock is virtual
            await trio.sleep(60)
        await trio.sleep(120)
        assert len(await rig.tasks.list(status=Status.COMPLETED, limit=1000)) == 120


async def test_with_fewer_slots_than_kinds_the_kinds_take_turns(autojump_clock: Clock) -> None:
    bench = Bench("a", "b", "c")
    async with run_rig(kinds=bench.kinds, max_running=1) as rig:
        for kind in ("a", "a", "a", "b", "b", "c"):
            await rig.tasks.create(kind)
        await trio.sleep(7 * 60)
        assert sorted(bench.begun[:3]) == ["a", "b", "c"]
        assert sorted(bench.begun[3:5]) == ["a", "b"]
        assert (bench.begun[5:], bench.most) == (["a"], 1)


async def test_a_lowered_maximum_lets_tasks_go_on_and_a_raised_one_starts_more(autojump_clock: Clock) -> None:
    bench = Bench("a", "b")
    async with run_rig(kinds=bench.kinds, max_running=8) as rig:
        for _ in range(30):
            await rig.tasks.create("a")
        await trio.testing.wait_all_tasks_blocked()
        assert bench.running == {"a": 6}
        rig.runner.apply_settings(attrs.evolve(rig.tasks.settings, max_running=2))
        await rig.tasks.create("b")
        await trio.testing.wait_all_tasks_blocked()
        assert bench.running == {"a": 6}
        await trio.sleep(61)
        assert bench.running == {"a": 1, "b": 1}
        rig.runner.apply_settings(attrs.evolve(rig.tasks.settings, max_running=20))
        await trio.testing.wait_all_tasks_blocked()
        assert bench.running == {"a": 15, "b": 1}


async def test_a_slot_is_released_when_work_fails_or_is_cancelled(autojump_clock: Clock) -> None:
    bench = Bench("a")

    async def break_down(progress: Progress) -> None:
        raise ValueError("broken")

    async with run_rig(kinds=[*bench.kinds, Kind(name="b", work=break_down)], max_running=2) as rig:
        for n in range(5):
            await rig.tasks.create("b", id=f"b{n}")
            await rig.ended(f"b{n}")
        for n in range(3):
            await rig.tasks.create("a", id=f"a{n}")
        await trio.testing.wait_all_tasks_blocked()
        assert bench.running == {"a": 1}
        await rig.tasks.cancel("a0")
        await trio.testing.wait_all_tasks_blocked()
        assert (bench.running, len(bench.begun)) == ({"a": 1}, 2)


@pytest.mark.parametrize(
    ("maximum", "kinds", "reserve"), [(100, 5, 10), (100, 1, 50), (8, 5, 1), (5, 5, 1), (4, 5, 0), (1, 0, 0)]
)
def test_the_reserves_are_half_of_the_slots_and_at_least_one_each(
    maximum: int, kinds: int, reserve: int
) -> None:
    slots = KindSlots(maximum)
    slots.divide([f"k{n}" for n in range(kinds)])
    assert slots.reserve == reserve


@pytest.mark.parametrize("maximum", [1, 2, 3, 5, 9, 16])
@pytest.mark.parametrize("kinds", [1, 2, 5])
def test_all_slots_can_be_used_and_a_reserve_is_always_free_for_its_kind(maximum: int, kinds: int) -> None:
    names = [f"k{n}" for n in range(kinds)]
    slots = KindSlots(maximum)
    slots.divide(names)
    while (kind := slots.next_kind(names[:1])) is not None:
        slots.take(kind)
    for name in names[1:]:
        for _ in range(slots.reserve):
            assert slots.next_kind([name]) == name
            slots.take(name)
    used = 0
    while (kind := slots.next_kind(names)) is not None:
        slots.take(kind)
        used += 1
    assert used == 0  # the first kind had all that is not reserved
