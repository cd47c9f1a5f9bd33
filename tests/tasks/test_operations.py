"""The effects of each operation on a task."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.tasks import Message, Status, Step, StepPlan, StepStatus, Task, operations
from streamd.tasks.model import Change
from tests.support.clocks import NOON, at
from tests.support.task_operations import create, message, running, start, with_running_step


def test_a_new_task_is_pending_with_all_its_fields() -> None:
    change = create(owner="o", message="soon", steps=[StepPlan("a", 2)])
    task = change.task
    assert (task.id, task.kind, task.owner, task.status, task.version) == ("t", "k", "o", Status.PENDING, 1)
    assert (task.progress, task.message) == (0, "soon")
    assert task.steps == (Step("a", StepStatus.PENDING, 2.0),)
    assert (task.created_at, task.updated_at, task.deadline) == (NOON, NOON, at(60))
    assert (task.started_at, task.ended_at, task.error, task.eta_seconds) == (None, None, None, None)
    assert (message(change).type, message(change).data["message"], task.topic) == (
        "status",
        "soon",
        "tasks/t",
    )


def test_starting_grants_the_worker_a_lease() -> None:
    change = start(create().task, 4)
    task = change.task
    assert (task.status, task.worker, task.lease, task.lease_until) == (
        Status.RUNNING,
        "w",
        "secret",
        at(34),
    )
    assert (task.started_at, task.updated_at, task.created_at) == (at(4), at(4), NOON)
    assert message(change).type == "status"


def test_an_update_changes_only_the_values_it_is_given() -> None:
    task = operations.update(running(), at(1), step="reading", message="first", progress=10).task
    assert (task.step, task.message, task.progress) == ("reading", "first", 10)
    task = operations.update(task, at(2), fields={"found": 3, "old": 1}).task
    change = operations.update(task, at(3), text="héllo", fields={"found": 4}, type="educational")
    task = change.task
    assert (task.step, task.message, task.progress) == ("reading", "first", 10)
    assert (task.details, task.text_bytes) == ({"found": 4, "old": 1}, 6)
    assert (change.text, message(change).type) == ("héllo", "educational")
    data = message(change).data
    assert (data["found"], data["text_delta"], "old" in data) == (4, "héllo", False)
    assert (data["step"], data["step_name"], data["steps"], data["taskId"]) == (None, "reading", 0, "t")


def test_the_number_of_a_step_is_its_place_in_the_list() -> None:
    task = running(StepPlan("a"), StepPlan("b"))
    assert position(message(operations.update(task, NOON))) == (None, "", 2)
    assert position(message(operations.update(task, NOON, step="b"))) == (2, "b", 2)
    assert position(message(operations.update(task, NOON, step="another"))) == (None, "another", 2)
    change = operations.start_step(task, NOON, "a")
    assert position(message(change)) == (1, "a", 2)
    change = operations.start_step(change.task, NOON, "c")
    assert position(message(change)) == (3, "c", 3)
    change = operations.end_step(change.task, NOON, "a", StepStatus.COMPLETED)
    assert position(message(change)) == (1, "a", 3)  # the message is about this step
    change = operations.complete(change.task, NOON, result=b"1")
    assert position(message(change)) == (3, "c", 3)


def test_the_current_step_is_the_latest_that_still_runs() -> None:
    task = running(StepPlan("a"), StepPlan("b"), StepPlan("c"))
    for name in "cab":  # not in the order of the plan
        task = operations.start_step(task, NOON, name, message=f"{name} starts").task
    seen = []
    for name in "acb":
        change = operations.end_step(task, NOON, name, StepStatus.COMPLETED)
        task = change.task
        seen.append((said(change), (task.step, task.message)))
    assert seen == [
        (("a", "a starts"), ("b", "b starts")),
        (("c", "c starts"), ("b", "b starts")),
        (("b", "b starts"), ("b", "b starts")),
    ]
    assert said(operations.cancel(task, NOON, detail="enough")) == ("b", "enough")


def test_after_the_current_step_the_one_before_it_is_current_again() -> None:
    task = running(StepPlan("a"), StepPlan("b"), StepPlan("c"))
    for name in "cab":
        task = operations.start_step(task, NOON, name, message=f"{name} starts").task
    change = operations.end_step(task, NOON, "b", StepStatus.FAILED, error="b is away")
    assert said(change) == ("b", "b is away")
    assert (change.task.step, change.task.message) == ("a", "a starts")
    end = operations.cancel(change.task, NOON, detail="enough")
    assert said(end) == ("a", "enough")
    task = operations.update_step(change.task, NOON, "c", progress=1).task
    assert (task.step, task.message) == ("c", "c starts")


def test_a_message_of_a_step_is_about_that_step() -> None:
    task = operations.start_step(running(), NOON, "a", message="reading a").task
    change = operations.start_step(task, NOON, "b")
    assert said(change) == ("b", "The step b is running")
    change = operations.update_step(change.task, NOON, "b", progress=5)
    assert said(change) == ("b", "The step b is running")
    assert (
        said(operations.end_step(change.task, NOON, "b", StepStatus.COMPLETED))[1] == "The step b is complete"
    )
    assert (
        said(operations.end_step(change.task, NOON, "b", StepStatus.SKIPPED))[1] == "The step b was skipped"
    )
    assert said(operations.end_step(change.task, NOON, "b", StepStatus.FAILED))[1] == "The step failed"
    assert said(operations.start_step(change.task, NOON, "x" * 2000))[1] == f"The step {'x' * 1991}"


def test_a_message_about_the_task_stays_while_a_parallel_step_ends() -> None:
    task = operations.start_step(with_running_step(), NOON, "b").task
    task = operations.update(task, NOON, message="half of the rows").task
    change = operations.end_step(task, NOON, "a", StepStatus.COMPLETED)
    assert said(change) == ("a", "The step a is complete")
    assert (change.task.step, change.task.message) == ("b", "half of the rows")


def test_a_name_that_is_no_step_stays_when_a_step_ends() -> None:
    task = operations.update(with_running_step(), NOON, step="tidying").task
    task = operations.end_step(task, NOON, "a", StepStatus.COMPLETED).task
    assert task.step == "tidying"


def said(change: Change) -> tuple[str, str]:
    data = message(change).data
    return data["step_name"], data["message"]


def position(message: Message) -> tuple[Any, ...]:
    return tuple(message.data[name] for name in ("step", "step_name", "steps"))


def test_smaller_progress_is_accepted_and_ignored() -> None:
    task = operations.update(running(), at(1), progress=40).task
    for figure in (39.9, 0, None):
        task = operations.update(task, at(2), progress=figure).task
        assert task.progress == 40


@pytest.mark.parametrize("reported", [99.95, 99.99, 100])
def test_progress_is_100_only_at_the_end(reported: float) -> None:
    change = operations.update(running(), at(1), progress=reported)
    assert (change.task.progress, message(change).data["progress"]) == (99.9, 99.9)
    failed = operations.fail(change.task, at(2), code="c", detail="so it is")
    assert message(failed).data["progress"] == 99.9
    assert operations.complete(change.task, at(2), result=b"1").task.progress == 100


@pytest.mark.parametrize(
    ("seconds", "progress", "eta", "nine_seconds_later"),
    [(10, 50, 10.0, 1.0), (10, 25, 30.0, 21.0), (3, 90, 0.4, None)],
)
def test_the_eta_follows_from_the_rate_so_far(
    seconds: float, progress: float, eta: float, nine_seconds_later: float | None
) -> None:
    change = operations.update(running(), at(seconds), progress=progress)
    assert change.task.eta_seconds == message(change).data["eta_seconds"] == eta
    later = operations.update(change.task, at(seconds + 9), message="still there")
    assert message(later).data["eta_seconds"] == nine_seconds_later


def test_the_eta_is_at_most_the_time_to_the_deadline() -> None:
    task = operations.update(running(), at(10), progress=1).task
    assert task.eta_seconds == 50  # and not 990
    for seconds, eta in [(30, 30.0), (59.85, 0.1), (59.95, None), (60, None), (61, None)]:
        assert operations.update(task, at(seconds), message="still there").task.eta_seconds == eta
        assert operations.update(task, at(seconds), progress=2).task.eta_seconds == eta


def test_the_eta_does_not_change_when_the_wall_clock_is_set_forward() -> None:
    task = operations.update(running(), at(10), progress=25).task
    for now, offset_days, eta in [(15, 1, 25.0), (25, 1, 15.0), (35, 2, 5.0)]:
        task = task.with_offset(timedelta(days=offset_days))
        task = operations.update(task, at(now), message="still there").task
        assert task.eta_seconds == eta
    assert operations.update(task, at(35), progress=50).task.eta_seconds == 25  # the deadline is at 60


def test_the_eta_is_unknown_without_a_rate_and_zero_only_at_the_end() -> None:
    assert operations.update(running(), at(5)).task.eta_seconds is None
    at_once = operations.update(running(), NOON, progress=50).task
    assert at_once.eta_seconds is None
    assert operations.update(running(), at(5), progress=1e-320).task.eta_seconds == 55
    nearly = operations.update(running(), at(0.001), progress=99.9).task
    assert nearly.eta_seconds == 0.1
    assert operations.complete(at_once, at(1), result=b"1").task.eta_seconds == 0
    assert operations.fail(nearly, at(1), code="c", detail="so it is").task.eta_seconds is None


@given(st.floats(0.001, 59.999), st.floats(0.01, 100), st.floats(0, 70))
def test_an_eta_is_positive_and_ends_before_the_deadline(
    seconds: float, progress: float, later: float
) -> None:
    task = operations.update(running(), at(seconds), progress=progress).task
    for state in (task, operations.update(task, at(seconds + later), message="on it").task):
        eta = state.eta_seconds
        assert eta is None or 0 < eta <= (state.deadline - state.updated_at).total_seconds()


def test_fields_are_copied_when_they_are_passed() -> None:
    found = [1]
    change = operations.update(running(), NOON, fields={"found": found})
    found.append(2)
    assert change.task.details == {"found": [1]}
    assert message(change).data["found"] == [1]


def test_progress_is_the_weighted_mean_of_the_steps() -> None:
    task = running(StepPlan("a", 1), StepPlan("b", 3))
    task = operations.start_step(task, NOON, "b").task
    change = operations.update_step(task, NOON, "b", progress=40, message="half", fields={"n": 1})
    assert change.task.progress == pytest.approx(30)
    data = message(change).data
    assert (data["step_name"], data["step_status"], data["step_progress"]) == ("b", "running", 40)
    assert (data["progress"], data["message"], data["n"]) == (30, "half", 1)
    task = operations.update_step(change.task, NOON, "b", progress=10).task
    assert task.find_step("b") == Step("b", StepStatus.RUNNING, 3.0, 40.0, "half")
    task = operations.end_step(task, NOON, "b", StepStatus.COMPLETED).task
    assert task.progress == pytest.approx(75)


def test_a_skipped_step_counts_as_done_and_a_failed_one_as_far_as_it_came() -> None:
    task = running(StepPlan("a"), StepPlan("b"), StepPlan("c"), StepPlan("d"))
    task = operations.start_step(task, NOON, "a").task
    task = operations.update_step(task, NOON, "a", progress=40).task
    change = operations.end_step(task, NOON, "a", StepStatus.FAILED, error="no answer")
    assert change.task.progress == 10
    assert (message(change).type, message(change).data["step_error"]) == ("progress", "no answer")
    assert change.task.status is Status.RUNNING
    task = operations.end_step(change.task, NOON, "b", StepStatus.SKIPPED, message="not needed").task
    assert task.progress == 35
    assert task.find_step("b") == Step("b", StepStatus.SKIPPED, 1.0, 0.0, "not needed")


def test_a_task_whose_steps_all_fail_shows_the_progress_they_had_reached() -> None:
    task = running(StepPlan("a"), StepPlan("b"))
    for name, reached in (("a", 30), ("b", 0)):
        task = operations.start_step(task, NOON, name).task
        task = operations.update_step(task, NOON, name, progress=reached).task
        task = operations.end_step(task, NOON, name, StepStatus.FAILED).task
        assert task.find_step(name) == Step(
            name, StepStatus.FAILED, progress=reached, error="The step failed"
        )
    change = operations.fail(task, NOON, code="no-data", detail="nothing was found")
    assert (message(change).data["progress"], message(change).data["message"]) == (15, "nothing was found")


def test_added_steps_never_lower_progress_nor_raise_it_to_100() -> None:
    task = running()
    for name in "abc":
        before = task.progress
        task = operations.start_step(task, NOON, name, weight=5).task
        assert task.progress >= before
        task = operations.end_step(task, NOON, name, StepStatus.COMPLETED).task
        assert task.progress == 99


def test_a_planned_step_keeps_its_weight_unless_another_is_given() -> None:
    task = running(StepPlan("a", 3))
    assert operations.start_step(task, NOON, "a").task.steps[0].weight == 3
    assert operations.start_step(task, NOON, "a", weight=5).task.steps[0].weight == 5
    assert operations.start_step(task, NOON, "new").task.steps[1].weight == 1


@pytest.mark.parametrize("shown", [{"n": 1}, None])
def test_completing_stores_the_result(shown: Any) -> None:
    task = operations.update(running(), at(5), progress=20, message="working").task
    change = operations.complete(task, at(9), result=b'{"n":1}', shown_result=shown)
    task = change.task
    assert (task.status, task.progress, task.eta_seconds, task.ended_at) == (
        Status.COMPLETED,
        100,
        0,
        at(9),
    )
    assert (task.has_result, change.result, task.message) == (True, b'{"n":1}', "The task is complete")
    assert (task.lease, task.lease_until, task.worker) == ("", None, "w")
    assert message(change).type == "complete"
    assert message(change).data.get("result") == shown
    change = operations.complete(running(), at(9), result=b"1", message="done")
    assert change.task.message == message(change).data["message"] == "done"


@pytest.mark.parametrize(
    ("end", "code", "status"),
    [
        (lambda task: operations.fail(task, at(9), code="no-data", detail="so it is"), "no-data", "failed"),
        (lambda task: operations.cancel(task, at(9), detail="so it is"), "cancelled", "cancelled"),
    ],
)
def test_failing_and_cancelling_record_the_reason(
    end: Callable[[Task], Change], code: str, status: str
) -> None:
    task = operations.update(running(), at(5), progress=20).task
    change = end(task)
    task = change.task
    assert (task.status.value, task.progress, task.eta_seconds, task.ended_at) == (status, 20, None, at(9))
    assert task.error is not None
    assert (task.error.code, task.error.detail) == (code, "so it is")
    assert (task.lease, task.lease_until, task.has_result) == ("", None, False)
    assert message(change).type == "error"
    assert (message(change).data["error"], message(change).data["code"]) == ("so it is", code)


@pytest.mark.parametrize("blank", ["", " \n"])
def test_a_blank_last_message_is_replaced_by_the_end(blank: str) -> None:
    task = operations.update(running(), at(5), message="working").task
    for end, said in [
        (operations.complete(task, at(9), result=b"1", message=blank), "The task is complete"),
        (operations.fail(task, at(9), code="c", detail=blank), "The task failed"),
        (operations.cancel(task, at(9), detail=blank), "The task was cancelled"),
    ]:
        assert end.task.message == message(end).data["message"] == said
        assert message(end).data.get("error", said) == said


def test_an_operation_leaves_the_task_it_is_given_as_it_was() -> None:
    task = running(StepPlan("a"))
    before = attrs.asdict(task)
    operations.update(task, at(1), progress=5, fields={"x": 1})
    operations.start_step(task, at(1), "a")
    operations.complete(task, at(1), result=b"1")
    assert attrs.asdict(task) == before
