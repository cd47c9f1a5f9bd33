"""Work whose task is ended from elsewhere: before, during and after its run."""

from typing import Any

import pytest
import trio
import trio.testing

from streamd.errors import InvalidTransition
from streamd.tasks import Progress, Status, Task, WorkFailed
from tests.support.local_work import UnsteadyStore, failure_of, local
from tests.support.task_rig import check_history, run_rig

Clock = trio.testing.MockClock


@pytest.mark.parametrize("how", ["cancel", "fail"])
async def test_ending_a_task_from_elsewhere_cancels_its_work(autojump_clock: Clock, how: str) -> None:
    seen: list[str] = []

    async def work(progress: Progress) -> None:
        await progress.update(progress=10)
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            seen.append("cancelled")
            raise
        finally:
            with pytest.raises(trio.Cancelled):
                await progress.update(progress=20)

    async with run_rig(kinds=[local(work)]) as rig:
        await rig.tasks.create("local", id="t")
        await rig.until("t", lambda event: event.value["progress"] == 10)
        if how == "cancel":
            await rig.tasks.cancel("t", message="not wanted")
        else:
            await rig.tasks.fail("t", "not wanted", code="cancelled")
        await trio.testing.wait_all_tasks_blocked()
        assert seen == ["cancelled"]
        task = await rig.ended("t")
        assert failure_of(task)[1:] == ("cancelled", "not wanted")
        assert task.progress == 10
        check_history(await rig.published("t"), "t")
        with pytest.raises(InvalidTransition):
            await rig.tasks.cancel("t")


@pytest.mark.parametrize("how", ["returns", "raises", "goes on"])
async def test_the_first_end_stays_whatever_cancelled_work_does(autojump_clock: Clock, how: str) -> None:
    async def work(progress: Progress) -> Any:
        try:
            await trio.sleep_forever()
        finally:
            if how == "raises":
                raise WorkFailed("I was not done")
            if how == "returns":
                return "a result all the same"  # noqa: B012 - work may do that
            with trio.CancelScope(shield=True):
                await progress.update(progress=99)

    async with run_rig(kinds=[local(work)]) as rig:
        await rig.tasks.create("local", id="t")
        await trio.testing.wait_all_tasks_blocked()
        await rig.tasks.cancel("t")
        await trio.sleep(100)
        assert (await rig.tasks.get("t")).status is Status.CANCELLED
        check_history(await rig.published("t"), "t")
        await rig.tasks.create("local", id="u", timeout_seconds=1)  # the runner still runs others
        await rig.ended("u")


async def test_a_task_cancelled_during_its_claim_is_not_run(autojump_clock: Clock) -> None:
    begun: list[str] = []

    async def work(progress: Progress) -> Any:
        begun.append(progress.id)

    store = UnsteadyStore()
    async with run_rig(kinds=[local(work)], store=store, max_running=1) as rig:

        async def cancel(task: Task) -> None:
            if task.id == "t":
                await rig.tasks.cancel("t")

        store.at_claim = cancel
        await rig.tasks.create("local", id="t")
        await rig.tasks.create("local", id="u")
        await rig.ended("u")
        assert begun == ["u"]
        check_history(await rig.published("t"), "t")


async def test_cancelling_the_runner_cancels_work_and_leaves_its_task_running(
    autojump_clock: Clock,
) -> None:
    ended: list[str] = []

    async def work(progress: Progress) -> Any:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(progress.id)

    async with run_rig(kinds=[local(work)]) as rig:
        await rig.tasks.create("local", id="t")
        await trio.testing.wait_all_tasks_blocked()
    assert ended == ["t"]
    assert (await rig.tasks.get("t")).status is Status.RUNNING
