"""The cause and the changed steps of each message, which a kind sees and clients do not."""

import pytest
import trio
import trio.testing

from streamd.tasks import Kind, Progress, step
from tests.support.step_work import Recorder, perform
from tests.support.task_rig import run_rig

Clock = trio.testing.MockClock


async def test_a_message_names_its_cause_and_the_steps_that_changed(autojump_clock: Clock) -> None:
    recorder = Recorder()

    async def work(progress: Progress) -> None:
        await progress.update(progress=1)
        async with step("a", message="go") as running:
            await running.update(30, "on")
            await running.update(10, "on")
            await running.update(message="no figure")
            running.complete(n=1)
        async with step("b") as running:
            await running.skip("not needed")
        with trio.move_on_after(1):
            async with step("c"):
                await trio.sleep_forever()

    await perform(work, present=recorder)
    assert recorder.heard == [
        ("created",),
        ("started",),
        ("updated",),
        ("step_started", ("a", "running", 0)),
        ("step_updated", ("a", "running", 30)),
        ("step_updated", ("a", "running", 30)),
        ("step_updated", ("a", "running", 30)),
        ("step_ended", ("a", "completed", 100)),
        ("step_started", ("b", "running", 0)),
        ("step_ended", ("b", "skipped", 0)),
        ("step_started", ("c", "running", 0)),
        ("completed", ("c", "completed", 100)),
    ]


@pytest.mark.parametrize(("end", "cause"), [("fail", "failed"), ("cancel", "cancelled")])
async def test_the_end_of_a_task_names_the_steps_that_it_cut_off(
    autojump_clock: Clock, end: str, cause: str
) -> None:
    recorder = Recorder()

    async def work(progress: Progress) -> None:
        async with step("done"):
            pass
        async with step("cut off") as running:
            await running.update(40)
            await trio.sleep_forever()

    async with run_rig(kinds=[Kind(name="local", work=work, present=recorder)]) as rig:
        await rig.tasks.create("local", id="t")
        await rig.until("t", lambda event: event.value.get("step_progress") == 40)
        await (rig.tasks.fail("t", "so it is") if end == "fail" else rig.tasks.cancel("t"))
        await rig.ended("t")
    assert recorder.heard[-1] == (cause, ("cut off", "failed", 40))


async def test_causes_and_changed_steps_are_not_published(autojump_clock: Clock) -> None:
    async def work(progress: Progress) -> None:
        async with step("a"):
            pass

    rig, _ = await perform(work)
    for data in await rig.data_of("t"):
        assert "cause" not in data
        assert not isinstance(data["steps"], list)


async def test_a_further_field_may_be_called_cause(autojump_clock: Clock) -> None:
    async def work(progress: Progress) -> None:
        await progress.update(cause="rain")

    rig, task = await perform(work)
    assert task.details == {"cause": "rain"}
    assert [data["cause"] for data in await rig.data_of("t") if "cause" in data] == ["rain"]
