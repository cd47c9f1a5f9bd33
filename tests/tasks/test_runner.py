"""Work in this process: results, failures, the limit of running tasks, and deadlines."""

from typing import Any

import pytest
import trio
import trio.testing

from streamd.errors import InsufficientStorage, NoResult, NotReady
from streamd.tasks import Kind, Message, Progress, Publication, Status, Task, WorkFailed
from tests.support.local_work import UnsteadyStore, Work, failure_of, hang, local
from tests.support.task_rig import Rig, check_history, run_rig

Clock = trio.testing.MockClock


async def run_one(work: Work, *, settings: dict[str, Any] | None = None, **kind: Any) -> tuple[Rig, Task]:
    """Run one task of a kind to its end."""
    async with run_rig(kinds=[local(work, **kind)], **(settings or {})) as rig:
        task = await rig.tasks.create("local", id="t", owner="o", input={"n": 4})
        task = await rig.ended(task.id)
        check_history(await rig.published("t"), "t")
        return rig, task


# --- results ----------------------------------------------------------------------------------------


async def test_work_gets_its_task_and_its_result_is_stored(autojump_clock: Clock) -> None:
    async def work(progress: Progress) -> Any:
        assert (progress.id, progress.owner, progress.input) == ("t", "o", {"n": 4})
        assert progress.task.status is Status.RUNNING
        await progress.update(progress=30, step="half", message="going", text="so ", found=[1])
        assert (progress.task.progress, progress.task.details) == (30, {"found": [1]})
        await progress.update(progress=20, text="far")
        await progress.educate({"read": "this"}, message="meanwhile")
        return {"n": progress.input["n"] + 1}

    rig, task = await run_one(work)
    assert (task.status, task.progress, task.worker) == (Status.COMPLETED, 100, rig.runner.worker)
    assert await rig.tasks.result("t") == {"n": 5}
    assert await rig.tasks.text("t") == "so far"
    events = await rig.published("t")
    assert [event.type for event in events] == [
        "status",
        "status",
        "progress",
        "progress",
        "educational",
        "complete",
    ]
    assert [event.value["progress"] for event in events] == [0, 0, 30, 30, 30, 100]
    assert events[4].value["educational_content"] == {"read": "this"}
    assert events[5].value["result"] == {"n": 5}


async def test_a_result_that_is_not_json_fails_the_task_with_a_reason(autojump_clock: Clock) -> None:
    async def work(progress: Progress) -> Any:
        return {"what": object()}

    _, task = await run_one(work)
    status, code, detail = failure_of(task)
    assert (status, code) == (Status.FAILED, "internal")
    assert "JSON" in detail


async def test_a_result_that_is_too_large_fails_the_task_with_a_reason(autojump_clock: Clock) -> None:
    async def work(progress: Progress) -> Any:
        return "x" * 1000

    _, task = await run_one(work, settings={"max_result_bytes": 1000})
    status, code, detail = failure_of(task)
    assert (status, code) == (Status.FAILED, "internal")
    assert "1000 bytes" in detail


@pytest.mark.parametrize("compress", [True, False, None])
async def test_a_large_result_is_stored_but_not_in_the_last_message(
    autojump_clock: Clock, compress: bool | None
) -> None:
    async def work(progress: Progress) -> Any:
        return "x" * 5000

    rig, _ = await run_one(work, settings={"max_event_result_bytes": 100}, compress_results=compress)
    assert await rig.tasks.result("t") == "x" * 5000
    assert "result" not in (await rig.data_of("t"))[-1]
    raw = await rig.store.result("t")
    assert raw is not None
    assert (len(raw) < 1000) is (compress is True)


async def test_unfinished_and_failed_tasks_have_no_result(autojump_clock: Clock) -> None:
    async with run_rig(kinds=[local(hang)]) as rig:
        await rig.tasks.create("local", id="t")
        with pytest.raises(NotReady) as caught:
            await rig.tasks.result("t")
        assert caught.value.retry_after_seconds
        await rig.tasks.fail("t", "so it is")
        with pytest.raises(NoResult, match="so it is"):
            await rig.tasks.result("t")


# --- failures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "detail"),
    [
        (WorkFailed("nothing was found"), "failed", "nothing was found"),
        (WorkFailed("nothing was found", code="no-data"), "no-data", "nothing was found"),
        (ExceptionGroup("g", [ExceptionGroup("h", [WorkFailed("deep", code="c")])]), "c", "deep"),
        (InsufficientStorage("the store is full"), "insufficient-storage", "the store is full"),
        (WorkFailed("x" * 9000), "failed", "x" * 2000),
        (WorkFailed("a\ud800b"), "failed", "a?b"),
    ],
)
async def test_failed_work_gives_the_reason(
    autojump_clock: Clock, error: Exception, code: str, detail: str
) -> None:
    async def work(progress: Progress) -> Any:
        raise error

    _, task = await run_one(work)
    assert failure_of(task) == (Status.FAILED, code, detail)


async def test_an_unexpected_error_is_hidden_from_clients_and_stops_no_other_task(
    autojump_clock: Clock,
) -> None:
    async def work(progress: Progress) -> Any:
        if progress.id == "t":
            raise ValueError("password is hunter2")
        return 1

    async with run_rig(kinds=[local(work)]) as rig:
        await rig.tasks.create("local", id="t")
        status, code, detail = failure_of(await rig.ended("t"))
        assert (status, code) == (Status.FAILED, "internal")
        assert detail
        assert "hunter2" not in str(await rig.data_of("t"))
        await rig.tasks.create("local", id="u")
        assert (await rig.ended("u")).status is Status.COMPLETED


async def test_a_kind_that_fails_to_present_the_end_still_ends(autojump_clock: Clock) -> None:
    async def work(progress: Progress) -> Any:
        return 1

    def present(task: Task, message: Message) -> list[Publication]:
        if task.status.ended:
            raise KeyError("report")
        return [Publication((task.topic,), message)]

    rig, task = await run_one(work, present=present)
    assert task.status is Status.COMPLETED
    assert (await rig.data_of("t"))[-1]["result"] == 1


@pytest.mark.parametrize("fails", [True, False])
async def test_the_end_of_work_is_retried_until_it_is_stored(autojump_clock: Clock, fails: bool) -> None:
    async def work(progress: Progress) -> Any:
        if fails:
            raise WorkFailed("so it is")
        return 1

    store = UnsteadyStore(failures=4)
    _, task = await run_one(work, settings={"store": store})
    assert (task.status, store.failures) == (Status.FAILED if fails else Status.COMPLETED, 0)


# --- how many, and how long -----------------------------------------------------------------------------


async def test_no_task_starts_once_claims_are_closed(autojump_clock: Clock) -> None:
    begun: list[str] = []

    async def work(progress: Progress) -> str:
        begun.append(progress.id)
        await trio.sleep(5)
        return "done"

    async with run_rig(kinds=[local(work)]) as rig:
        await rig.tasks.create("local", id="before")
        await trio.sleep(1)
        rig.tasks.close_claims(retry_after_seconds=1)
        await rig.tasks.create("local", id="after")
        assert (await rig.ended("before")).status is Status.COMPLETED
        await trio.sleep(100)
        assert begun == ["before"]
        assert (await rig.tasks.get("after")).status is Status.PENDING


async def test_at_most_max_running_tasks_run_and_the_oldest_start_first(autojump_clock: Clock) -> None:
    running_now: list[str] = []
    begun: list[str] = []
    most = 0

    async def work(progress: Progress) -> Any:
        nonlocal most
        begun.append(progress.id)
        running_now.append(progress.id)
        most = max(most, len(running_now))
        await trio.sleep(10)
        running_now.remove(progress.id)
        if progress.id == "t1":
            raise ValueError

    async with run_rig(kinds=[local(work)], max_running=2) as rig:
        ids = [f"t{n}" for n in range(6)]
        for task_id in ids:
            await rig.tasks.create("local", id=task_id)
        await trio.sleep(1)
        assert len(await rig.tasks.list(status=Status.PENDING)) == 4
        for task_id in ids:
            await rig.ended(task_id)
        assert (begun, most) == (ids, 2)
        assert trio.current_time() == pytest.approx(30)


@pytest.mark.parametrize(
    ("settings", "kind", "asked", "seconds"),
    [
        ({"timeout_seconds": 40.0}, {}, None, 40),
        ({}, {"timeout_seconds": 20.0}, None, 20),
        ({}, {"timeout_seconds": 20.0}, 7.5, 7.5),
    ],
)
async def test_work_is_cancelled_and_failed_at_its_deadline(
    autojump_clock: Clock,
    settings: dict[str, float],
    kind: dict[str, float],
    asked: float | None,
    seconds: float,
) -> None:
    cancelled_at: list[float] = []

    async def work(progress: Progress) -> None:
        try:
            await trio.sleep_forever()
        finally:
            cancelled_at.append(trio.current_time())

    async with run_rig(kinds=[local(work, **kind)], **settings) as rig:
        await rig.tasks.create("local", id="t", timeout_seconds=asked)
        status, code, detail = failure_of(await rig.ended("t"))
        assert (status, code) == (Status.FAILED, "timeout")
        assert cancelled_at == [pytest.approx(seconds)]
        assert f"{seconds:g} s" in detail
        check_history(await rig.published("t"), "t")


async def test_work_that_raises_when_cancelled_at_its_deadline_timed_out(autojump_clock: Clock) -> None:
    async def work(progress: Progress) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("torn down")

    _, task = await run_one(work, timeout_seconds=5)
    assert failure_of(task)[:2] == (Status.FAILED, "timeout")


async def test_work_that_ignores_its_timeout_is_failed_by_the_sweep(autojump_clock: Clock) -> None:
    async def work(progress: Progress) -> Any:
        with trio.CancelScope(shield=True):
            await trio.sleep(100)
        return "late"

    async with run_rig(kinds=[local(work)], sweep_seconds=1.0) as rig:
        await rig.tasks.create("local", id="t", timeout_seconds=5)
        assert failure_of(await rig.ended("t"))[:2] == (Status.FAILED, "timeout")
        assert trio.current_time() < 10
        await trio.sleep(200)
        check_history(await rig.published("t"), "t")


async def test_a_pending_task_fails_at_its_deadline(autojump_clock: Clock) -> None:
    async with run_rig(kinds=[Kind(name="remote")], sweep_seconds=1.0) as rig:
        await rig.tasks.create("remote", id="t", timeout_seconds=5)
        assert failure_of(await rig.ended("t"))[:2] == (Status.FAILED, "timeout")
        assert trio.current_time() == pytest.approx(5, abs=1)
        assert rig.metric("task_timeouts_total") == 1
