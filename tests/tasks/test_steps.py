"""Steps: inside and outside of a task, nested calls, messages, skips, failures, parallel steps."""

import pytest
import trio
import trio.testing

from streamd.errors import InvalidField, InvalidTransition
from streamd.tasks import (
    Kind,
    Progress,
    Status,
    StepPlan,
    StepStatus,
    WorkFailed,
    step,
)
from tests.support.step_work import Recorder, lose, perform, statuses, steps_said
from tests.support.task_rig import run_rig

Clock = trio.testing.MockClock


async def test_a_step_publishes_its_start_progress_and_end(autojump_clock: Clock) -> None:
    async def work(progress: Progress) -> None:
        async with step("parse", weight=3, message="reading") as running:
            assert running.name == "parse"
            await running.update(40, "40 lines", lines=40)
            running.complete(lineItems=7)
        async with step("store"):
            pass

    rig, task = await perform(work)
    assert (task.status, statuses(task)) == (Status.COMPLETED, {"parse": "completed", "store": "completed"})
    assert await steps_said(rig) == [
        ("parse", "running", 0),
        ("parse", "running", 40),
        ("parse", "completed", 100),
        ("store", "running", 0),
        ("store", "completed", 100),
    ]
    said = await rig.data_of("t")
    assert [data.get("lineItems") for data in said if "lineItems" in data] == [7]
    assert (said[3]["message"], said[3]["lines"]) == ("40 lines", 40)
    assert task.details == {"lines": 40, "lineItems": 7}


async def test_planned_steps_keep_their_weights(autojump_clock: Clock) -> None:
    seen: list[float] = []

    async def work(progress: Progress) -> None:
        for name in ("a", "b"):
            async with step(name) as running:
                await running.update(50)
                seen.append(progress.task.progress)

    await perform(work, (StepPlan("a", 1), StepPlan("b", 4)))
    assert seen == [10, 60]


async def test_step_finds_its_task_at_any_depth(autojump_clock: Clock) -> None:
    async def read(line: int) -> None:
        async with step(f"line {line}") as running:
            await running.update(50)

    async def read_all() -> None:
        async with trio.open_nursery() as nursery:
            for line in range(3):
                nursery.start_soon(read, line)

    async def work(progress: Progress) -> None:
        async with step("outer"):
            await read_all()

    rig, task = await perform(work)
    assert set(statuses(task).values()) == {"completed"}
    assert set(statuses(task)) == {"outer", "line 0", "line 1", "line 2"}
    assert len(await steps_said(rig)) == 2 + 3 * 3


async def test_steps_of_parallel_tasks_are_separate(autojump_clock: Clock) -> None:
    async def work(progress: Progress) -> None:
        await trio.sleep(1)
        async with step(f"of {progress.id}"):
            await trio.sleep(1)

    async with run_rig(kinds=[Kind(name="local", work=work)]) as rig:
        for task_id in "ab":
            await rig.tasks.create("local", id=task_id)
        for task_id in "ab":
            assert statuses(await rig.ended(task_id)) == {f"of {task_id}": "completed"}


async def test_step_outside_of_a_task_raises() -> None:
    with pytest.raises(RuntimeError, match="no task is running here"):
        async with step("a"):
            pass


async def test_step_after_the_end_of_the_work_is_rejected(autojump_clock: Clock) -> None:
    after: list[str] = []

    async def late(done: trio.Event) -> None:
        await done.wait()
        with pytest.raises(InvalidTransition):
            async with step("late"):
                pass
        after.append("refused")

    async with trio.open_nursery() as nursery:
        done = trio.Event()

        async def work(progress: Progress) -> None:
            nursery.start_soon(late, done)

        await perform(work)
        done.set()
    assert after == ["refused"]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (WorkFailed("no answer", code="no-answer"), "no-answer", "no answer"),
        (ValueError("secret"), "internal", "this step failed"),
    ],
)
async def test_an_error_in_a_step_fails_step_and_task(
    autojump_clock: Clock, error: Exception, code: str, said: str
) -> None:
    recorder = Recorder()

    async def work(progress: Progress) -> None:
        async with step("a"):
            raise error

    rig, task = await perform(work, present=recorder)
    assert task.error is not None
    assert (task.status, task.error.code) == (Status.FAILED, code)
    [failed] = task.steps
    assert (failed.status, failed.error) == (StepStatus.FAILED, said)
    assert recorder.heard[-2:] == [("step_ended", ("a", "failed", 0)), ("failed",)]
    assert "secret" not in str(await rig.data_of("t"))


async def test_step_failed_fails_the_step_alone(autojump_clock: Clock) -> None:
    recorder = Recorder()
    went_on: list[bool] = []

    async def work(progress: Progress) -> str:
        async with step("a"):
            lose("the source is away")
        went_on.append(True)
        async with step("b"):
            pass
        return "with less"

    rig, task = await perform(work, present=recorder)
    assert went_on
    assert (task.status, statuses(task)) == (Status.COMPLETED, {"a": "failed", "b": "completed"})
    [a, _] = task.steps
    assert a.error == "the source is away"
    assert ("step_ended", ("a", "failed", 0)) in recorder.heard
    assert [data["step_error"] for data in await rig.data_of("t") if "step_error" in data] == [
        "the source is away"
    ]


async def test_a_long_reason_is_shortened(autojump_clock: Clock) -> None:
    async def work(progress: Progress) -> None:
        async with step("a"):
            raise WorkFailed("x" * 9000, code="long")

    _, task = await perform(work)
    assert task.error is not None
    assert (task.error.code, task.steps[0].error) == ("long", "x" * 2000)


async def test_a_step_is_skipped_with_a_reason(autojump_clock: Clock) -> None:
    recorder = Recorder()

    async def work(progress: Progress) -> None:
        async with step("a") as running:
            await running.skip("nothing to do")
            with pytest.raises(InvalidTransition):
                await running.update(50)

    rig, task = await perform(work, present=recorder)
    [skipped] = task.steps
    assert (skipped.status, skipped.message, skipped.progress) == (StepStatus.SKIPPED, "nothing to do", 0)
    assert await steps_said(rig) == [("a", "running", 0), ("a", "skipped", 0)]
    assert recorder.heard[-2:] == [("step_ended", ("a", "skipped", 0)), ("completed",)]


async def test_a_cancelled_step_fails_with_its_task(autojump_clock: Clock) -> None:
    async def work(progress: Progress) -> None:
        async with step("a"):
            await trio.sleep_forever()

    async with run_rig(kinds=[Kind(name="local", work=work)]) as rig:
        await rig.tasks.create("local", id="t")
        await rig.until("t", lambda event: "step_status" in event.value)
        await rig.tasks.cancel("t", message="not wanted")
        [cut_off] = (await rig.ended("t")).steps
        assert (cut_off.status, cut_off.error) == (StepStatus.FAILED, "not wanted")


async def test_a_step_that_the_work_cancels_ends_with_the_task(autojump_clock: Clock) -> None:
    async def work(progress: Progress) -> None:
        with trio.move_on_after(1):
            async with step("a"):
                await trio.sleep_forever()

    _, task = await perform(work)
    assert (task.status, task.steps[0].status.ended) == (Status.COMPLETED, True)


async def test_a_step_cannot_start_twice(autojump_clock: Clock) -> None:
    async def work(progress: Progress) -> None:
        async with step("a"):
            pass
        with pytest.raises(InvalidTransition):
            async with step("a"):
                raise AssertionError("not begun")

    _, task = await perform(work)
    assert task.status is Status.COMPLETED


async def test_messages_of_parallel_steps_are_about_their_own_step(autojump_clock: Clock) -> None:
    async def fetch(name: str, seconds: float) -> None:
        async with step(name) as running:
            await trio.sleep(seconds)
            await running.update(50, f"{name} is half there")
            await trio.sleep(seconds)

    async def work(progress: Progress) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fetch, "slow", 10)
            nursery.start_soon(fetch, "fast", 1)

    rig, _ = await perform(work, (StepPlan("slow"), StepPlan("fast")))
    said = [data for data in await rig.data_of("t") if "step_status" in data]
    shown = ("step", "step_name", "steps", "step_status", "progress")
    assert [tuple(data[name] for name in shown) for data in said[2:]] == [
        (2, "fast", 2, "running", 25),
        (2, "fast", 2, "completed", 50),
        (1, "slow", 2, "running", 75),
        (1, "slow", 2, "completed", 99),
    ]
    assert all(data["message"].startswith(data["step_name"]) for data in said if data["step_progress"] == 50)


async def test_the_handle_runs_steps_like_the_function(autojump_clock: Clock) -> None:
    async def work(progress: Progress) -> None:
        async with progress.step("a", weight=2) as first:
            await first.update(50, "half", n=1)
            first.complete(m=2)
        async with progress.step("b"):
            lose("away")
        async with progress.step("c") as third:
            await third.skip("not needed")

    rig, task = await perform(work)
    assert statuses(task) == {"a": "completed", "b": "failed", "c": "skipped"}
    assert task.details == {"n": 1, "m": 2}
    assert await steps_said(rig) == [
        ("a", "running", 0),
        ("a", "running", 50),
        ("a", "completed", 100),
        ("b", "running", 0),
        ("b", "failed", 0),
        ("c", "running", 0),
        ("c", "skipped", 0),
    ]


async def test_reserved_fields_fail_the_work_and_its_step(autojump_clock: Clock) -> None:
    async def work(progress: Progress) -> None:
        with pytest.raises(InvalidField) as caught:
            await progress.update(status="completed")
        assert caught.value.field == "status"
        async with step("a") as running:
            running.complete(result=1)

    _, task = await perform(work)
    assert (task.status, task.steps[0].status) == (Status.FAILED, StepStatus.FAILED)
