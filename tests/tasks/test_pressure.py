"""A store that is nearly full: retention is shortened, and the number of all tasks is bounded."""

import pytest
import trio
import trio.testing

from streamd.errors import InsufficientStorage, Unavailable
from streamd.tasks import Kind, Status
from streamd.tasks.pressure import RetentionPressure
from streamd.tasks.store.port import Bounds
from tests.support.task_rig import Rig, make_rig, names, publishing

Clock = trio.testing.MockClock
BOUNDS = Bounds(keep_seconds=86_400, max_kept=1000)
MAX_TASKS = 40


def keep_seconds(pressure: RetentionPressure) -> tuple[float, float]:
    """Return the retention of a kind that is not registered, and of one that is (s)."""
    kept = [pressure.shorten(BOUNDS, is_registered=registered) for registered in (False, True)]
    return kept[0].keep_seconds, kept[1].keep_seconds


def test_retention_is_halved_with_each_sweep_of_a_store_that_is_nearly_full() -> None:
    pressure = RetentionPressure()
    pressure.note(0.5)
    assert keep_seconds(pressure) == (86_400, 86_400)
    for halvings in range(1, 18):
        pressure.note(0.9)
        assert keep_seconds(pressure) == (86_400 / 2**halvings, 86_400)
    pressure.note(0.9)
    assert keep_seconds(pressure)[1] == 43_200, "those of registered kinds follow when nothing else is left"
    pressure.note(0.8)
    assert keep_seconds(pressure)[1] == 43_200
    pressure.note(0.7)
    assert keep_seconds(pressure) == (86_400, 86_400)


def test_retention_stays_positive() -> None:
    pressure = RetentionPressure()
    for _ in range(1000):
        pressure.note(1.0)
    assert min(keep_seconds(pressure)) > 0


async def sweep(rig: Rig, times: int) -> None:
    """Sweep, a second after the other."""
    for _ in range(times):
        await rig.runner.expire()
        await trio.sleep(1)


async def test_tasks_of_ever_new_kinds_are_bounded_in_all(autojump_clock: Clock) -> None:
    rig = make_rig(max_tasks=MAX_TASKS, max_per_kind=10)
    for number in range(MAX_TASKS):
        await rig.tasks.create(f"kind-{number}", id=f"t{number}")
    with pytest.raises(InsufficientStorage):
        await rig.tasks.create("another", id="more")
    await rig.tasks.cancel("t7")
    await sweep(rig, 20)
    assert "t7" in names(await rig.tasks.list()), "its last message is not published yet"
    async with publishing(rig):
        await rig.drained()
    await sweep(rig, 20)
    assert "t7" not in names(await rig.tasks.list())
    await rig.tasks.create("another", id="more")
    with pytest.raises(InsufficientStorage):
        await rig.tasks.create("another", id="too-many")


async def test_those_that_ended_first_make_room_and_registered_kinds_yield_last(
    autojump_clock: Clock,
) -> None:
    rig = make_rig(max_tasks=MAX_TASKS, max_per_kind=30, kinds=[Kind(name="service")])
    async with publishing(rig):
        for number in range(MAX_TASKS):
            kind = "service" if number < 10 else f"kind-{number}"
            task = await rig.tasks.create(kind, id=f"t{number}")
            await rig.tasks.cancel(task.id)
            await rig.drained()
            await trio.sleep(60)
        while len(await rig.tasks.list()) == MAX_TASKS:
            await sweep(rig, 1)
        left = names(await rig.tasks.list())
        assert "t39" in left
        assert "t10" not in left
        await sweep(rig, 10)
        assert {f"t{number}" for number in range(10)} <= set(names(await rig.tasks.list()))
        assert rig.metrics.stored == len(await rig.tasks.list())


async def test_a_kind_has_its_own_maximum_as_before(autojump_clock: Clock) -> None:
    rig = make_rig(max_tasks=5, max_per_kind=10)  # max_tasks is at least max_per_kind
    for _ in range(10):
        await rig.tasks.create("k")
    with pytest.raises(InsufficientStorage):
        await rig.tasks.create("k")
    rig = make_rig(max_tasks=50, max_per_kind=10)
    for _ in range(10):
        await rig.tasks.create("k")
    with pytest.raises(Unavailable, match="of kind"):
        await rig.tasks.create("k")
    assert rig.metrics.counts["k", Status.PENDING] == 10


async def test_kinds_without_a_task_are_forgotten_by_the_metrics(autojump_clock: Clock) -> None:
    rig = make_rig(max_tasks=MAX_TASKS)
    for number in range(2000):
        rig.metrics.counts[f"kind-{number}", Status.PENDING] = 0
    await rig.tasks.create("kept")
    await rig.runner.expire()
    assert dict(rig.metrics.counts) == {("kept", Status.PENDING): 1}
