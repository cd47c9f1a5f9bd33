"""Computing in slices: their limits, the reported progress, and cancellation."""

import threading

import trio

from streamd.tasks import Progress, Slices
from tests.support.step_work import perform


async def test_progress_is_reported_after_each_slice() -> None:
    done: list[int] = []

    async def work(progress: Progress) -> None:
        async with progress.step("count") as step:
            slices = Slices(trio.CapacityLimiter(1), max_items=2, max_seconds=60)
            await slices.each(step, range(5), done.append, "Counted {} of {}")

    rig, _ = await perform(work)
    assert done == [0, 1, 2, 3, 4]
    said = [data for data in await rig.data_of("t") if data["message"].startswith("Counted")]
    assert [(data["message"], data["step_progress"]) for data in said[:3]] == [
        ("Counted 2 of 5", 40),
        ("Counted 4 of 5", 80),
        ("Counted 5 of 5", 100),
    ]


async def test_a_slice_has_at_least_one_item() -> None:
    async def work(progress: Progress) -> None:
        async with progress.step("count") as step:
            slices = Slices(trio.CapacityLimiter(1), max_items=1000, max_seconds=0)
            await slices.each(step, range(3), lambda _: None, "Counted {} of {}")

    rig, _ = await perform(work)
    said = [data["message"] for data in await rig.data_of("t")]
    assert said.count("Counted 1 of 3") == 1
    assert said.count("Counted 2 of 3") == 1


async def test_cancelling_does_not_wait_for_the_thread() -> None:
    slices = Slices(trio.CapacityLimiter(1), max_items=1, max_seconds=1)
    release = threading.Event()
    try:
        with trio.move_on_after(0.1) as scope:
            await slices.compute(lambda: release.wait(10))
        assert scope.cancelled_caught
    finally:
        release.set()
