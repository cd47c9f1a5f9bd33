"""Every operation, every transition of the tables, and every value that is refused, by the field's name."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from streamd.errors import InvalidField, InvalidTransition
from streamd.tasks import Message, Status, Step, StepPlan, StepStatus, Task, operations
from streamd.tasks.messages import RESERVED_FIELDS
from streamd.tasks.model import STEP_TRANSITIONS, TRANSITIONS, Change

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
PAIRS = [(before, after) for before in Status for after in Status]
STEP_PAIRS = [(before, after) for before in StepStatus for after in StepStatus]
NOT_A_PERCENTAGE = [-0.1, 100.1, float("nan"), float("inf"), "50", True]


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def create(**values: Any) -> Change:
    return operations.create(**{"id": "t", "kind": "k", "now": NOON, "timeout_seconds": 60.0, **values})


def start(task: Task, seconds: float = 0) -> Change:
    return operations.start(task, at(seconds), worker="w", lease="secret", lease_seconds=30)


def message(change: Change) -> Message:
    assert change.message is not None
    return change.message


def running(*steps: StepPlan) -> Task:
    return start(create(steps=steps).task).task


def in_status(status: Status) -> Task:
    """A task that came to that status by operations alone."""
    task = create(steps=[StepPlan("a"), StepPlan("b")]).task
    if status is Status.PENDING:
        return task
    task = operations.start_step(start(task).task, NOON, "a").task
    return TO_STATUS[status](task).task if status is not Status.RUNNING else task


def step_in_status(status: StepStatus) -> Task:
    task = running(StepPlan("a"), StepPlan("b"))
    if status is StepStatus.PENDING:
        return task
    task = operations.start_step(task, NOON, "a").task
    return task if status is StepStatus.RUNNING else operations.end_step(task, NOON, "a", status).task


TO_STATUS: dict[Status, Callable[[Task], Change]] = {
    Status.RUNNING: start,
    Status.COMPLETED: lambda task: operations.complete(task, at(9), result=b"1", shown_result=1),
    Status.FAILED: lambda task: operations.fail(task, at(9), code="failed", detail="it broke"),
    Status.CANCELLED: lambda task: operations.cancel(task, at(9), detail="not wanted"),
}

TO_STEP_STATUS: dict[StepStatus, Callable[[Task], Change]] = {
    StepStatus.RUNNING: lambda task: operations.start_step(task, at(9), "a"),
    StepStatus.COMPLETED: lambda task: operations.end_step(task, at(9), "a", StepStatus.COMPLETED),
    StepStatus.FAILED: lambda task: operations.end_step(task, at(9), "a", StepStatus.FAILED),
    StepStatus.SKIPPED: lambda task: operations.end_step(task, at(9), "a", StepStatus.SKIPPED),
}


# --- the tables ---------------------------------------------------------------------------------


def test_the_tables_name_every_status_and_nothing_comes_after_an_end() -> None:
    assert set(TRANSITIONS) == set(Status)
    assert set(STEP_TRANSITIONS) == set(StepStatus)
    assert {status for status in Status if status.ended} == {
        Status.COMPLETED,
        Status.FAILED,
        Status.CANCELLED,
    }
    assert {status for status in StepStatus if not status.ended} == {StepStatus.PENDING, StepStatus.RUNNING}


@pytest.mark.parametrize(("before", "after"), [pair for pair in PAIRS if pair[1] in TO_STATUS])
def test_a_task_changes_its_status_as_the_table_says_and_not_otherwise(before: Status, after: Status) -> None:
    task = in_status(before)
    if after in TRANSITIONS[before]:
        change = TO_STATUS[after](task)
        assert change.task.status is after
        assert change.task.version == task.version + 1
        assert message(change).data["status"] == after.value
        return
    with pytest.raises(InvalidTransition) as caught:
        TO_STATUS[after](task)
    assert caught.value.field == "status"


@pytest.mark.parametrize(("before", "after"), [pair for pair in STEP_PAIRS if pair[1] in TO_STEP_STATUS])
def test_a_step_changes_its_status_as_the_table_says_and_not_otherwise(
    before: StepStatus, after: StepStatus
) -> None:
    task = step_in_status(before)
    if after in STEP_TRANSITIONS[before]:
        change = TO_STEP_STATUS[after](task)
        step = change.task.find_step("a")
        assert step is not None
        assert step.status is after
        assert message(change).data["step_status"] == after.value
        assert change.task.version == task.version + 1
        return
    with pytest.raises(InvalidTransition) as caught:
        TO_STEP_STATUS[after](task)
    assert caught.value.field == "step"


@pytest.mark.parametrize("end", [StepStatus.PENDING, StepStatus.RUNNING])
def test_a_step_cannot_end_as_what_is_no_end(end: StepStatus) -> None:
    with pytest.raises(InvalidTransition):
        operations.end_step(step_in_status(StepStatus.RUNNING), NOON, "a", end)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.RUNNING])
@pytest.mark.parametrize(
    "operation",
    [
        lambda task: operations.update(task, NOON, progress=1),
        lambda task: operations.start_step(task, NOON, "b"),
        lambda task: operations.start_step(task, NOON, "new"),
        lambda task: operations.update_step(task, NOON, "a", progress=1),
        lambda task: operations.end_step(task, NOON, "a", StepStatus.COMPLETED),
    ],
)
def test_only_a_running_task_says_anything(status: Status, operation: Callable[[Task], Change]) -> None:
    with pytest.raises(InvalidTransition) as caught:
        operation(in_status(status))
    assert caught.value.field == "status"


@pytest.mark.parametrize("status", [status for status in StepStatus if status is not StepStatus.RUNNING])
def test_only_a_running_step_says_how_far_it_is(status: StepStatus) -> None:
    with pytest.raises(InvalidTransition) as caught:
        operations.update_step(step_in_status(status), NOON, "a", progress=1)
    assert caught.value.field == "step"


@pytest.mark.parametrize(
    "operation",
    [
        lambda task: operations.update_step(task, NOON, "c"),
        lambda task: operations.end_step(task, NOON, "c", StepStatus.SKIPPED),
    ],
)
def test_a_step_that_nobody_knows_neither_moves_nor_ends(operation: Callable[[Task], Change]) -> None:
    with pytest.raises(InvalidTransition) as caught:
        operation(running())
    assert caught.value.field == "step"


# --- what each operation does -------------------------------------------------------------------


def test_a_new_task_is_pending_and_has_all_its_fields() -> None:
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


def test_a_worker_takes_a_task_and_holds_it_by_a_lease() -> None:
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


def test_an_update_changes_what_it_names_and_nothing_else() -> None:
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
    assert (data["step"], data["stage"], data["taskId"]) == ("reading", "reading", "t")


def test_progress_never_falls_and_a_smaller_figure_is_no_mistake() -> None:
    task = operations.update(running(), at(1), progress=40).task
    for figure in (39.9, 0, None):
        task = operations.update(task, at(2), progress=figure).task
        assert task.progress == 40
    assert operations.update(task, at(2), progress=100).task.progress == 100


@pytest.mark.parametrize(("seconds", "progress", "eta"), [(10, 50, 10.0), (10, 25, 30.0), (3, 90, 0.3)])
def test_the_eta_follows_from_the_rate_so_far(seconds: float, progress: float, eta: float) -> None:
    task = operations.update(running(), at(seconds), progress=progress).task
    assert task.eta_seconds == eta
    later = operations.update(task, at(seconds + 9), message="still there").task
    assert later.eta_seconds == eta


def test_what_the_work_goes_on_filling_does_not_change_what_was_said() -> None:
    found = [1]
    change = operations.update(running(), NOON, fields={"found": found})
    found.append(2)
    assert change.task.details == {"found": [1]}
    assert message(change).data["found"] == [1]


def test_steps_add_up_by_their_weights() -> None:
    task = running(StepPlan("a", 1), StepPlan("b", 3))
    task = operations.start_step(task, NOON, "b").task
    change = operations.update_step(task, NOON, "b", progress=40, message="half", fields={"n": 1})
    assert change.task.progress == pytest.approx(30)
    data = message(change).data
    assert (data["step"], data["step_status"], data["step_progress"]) == ("b", "running", 40)
    assert (data["progress"], data["message"], data["n"]) == (30, "half", 1)
    task = operations.update_step(change.task, NOON, "b", progress=10).task
    assert task.find_step("b") == Step("b", StepStatus.RUNNING, 3.0, 40.0, "half")
    task = operations.end_step(task, NOON, "b", StepStatus.COMPLETED).task
    assert task.progress == pytest.approx(75)


def test_a_step_that_failed_or_was_skipped_is_over_and_counts() -> None:
    task = running(StepPlan("a"), StepPlan("b"), StepPlan("c"), StepPlan("d"))
    task = operations.start_step(task, NOON, "a").task
    change = operations.end_step(task, NOON, "a", StepStatus.FAILED, error="no answer")
    assert change.task.progress == 25
    assert (message(change).type, message(change).data["step_error"]) == ("progress", "no answer")
    assert change.task.status is Status.RUNNING
    task = operations.end_step(change.task, NOON, "b", StepStatus.SKIPPED, message="not needed").task
    assert task.progress == 50
    assert task.find_step("b") == Step("b", StepStatus.SKIPPED, 1.0, 0.0, "not needed")


def test_further_steps_never_take_progress_back_and_all_of_them_do_not_make_it_whole() -> None:
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
def test_completing_gives_the_result_and_the_last_message(shown: Any) -> None:
    task = operations.update(running(), at(5), progress=20, message="working").task
    change = operations.complete(task, at(9), result=b'{"n":1}', shown_result=shown)
    task = change.task
    assert (task.status, task.progress, task.eta_seconds, task.ended_at) == (
        Status.COMPLETED,
        100,
        0,
        at(9),
    )
    assert (task.has_result, change.result, task.message) == (True, b'{"n":1}', "working")
    assert (task.lease, task.lease_until, task.worker) == ("", None, "w")
    assert message(change).type == "complete"
    assert message(change).data.get("result") == shown
    assert operations.complete(running(), at(9), result=b"1", message="done").task.message == "done"


@pytest.mark.parametrize(
    ("end", "code", "status"),
    [
        (lambda task: operations.fail(task, at(9), code="no-data", detail="so it is"), "no-data", "failed"),
        (lambda task: operations.cancel(task, at(9), detail="so it is"), "cancelled", "cancelled"),
    ],
)
def test_an_end_without_success_says_why(end: Callable[[Task], Change], code: str, status: str) -> None:
    task = operations.update(running(), at(5), progress=20).task
    change = end(task)
    task = change.task
    assert (task.status.value, task.progress, task.eta_seconds, task.ended_at) == (status, 20, None, at(9))
    assert task.error is not None
    assert (task.error.code, task.error.detail) == (code, "so it is")
    assert (task.lease, task.lease_until, task.has_result) == ("", None, False)
    assert message(change).type == "error"
    assert (message(change).data["error"], message(change).data["code"]) == ("so it is", code)


def test_a_cancelled_task_says_something_also_when_nobody_said_why() -> None:
    assert message(operations.cancel(create().task, NOON)).data["error"]


@pytest.mark.parametrize("end", [status for status in Status if status.ended])
def test_no_step_of_a_task_that_ended_is_running(end: Status) -> None:
    task = operations.start_step(running(StepPlan("a"), StepPlan("b")), NOON, "a").task
    task = operations.update_step(task, NOON, "a", progress=30).task
    [a, b] = TO_STATUS[end](task).task.steps
    if end is Status.COMPLETED:
        assert (a.status, a.progress) == (StepStatus.COMPLETED, 100)
    else:
        assert (a.status, a.progress, bool(a.error)) == (StepStatus.FAILED, 30, True)
    assert b.status is StepStatus.PENDING


def test_an_operation_leaves_the_task_it_is_given_as_it_was() -> None:
    task = running(StepPlan("a"))
    before = attrs.asdict(task)
    operations.update(task, at(1), progress=5, fields={"x": 1})
    operations.start_step(task, at(1), "a")
    operations.complete(task, at(1), result=b"1")
    assert attrs.asdict(task) == before


# --- what is refused, by name -------------------------------------------------------------------


def refused(field: str, operation: Callable[[], object]) -> None:
    with pytest.raises(InvalidField) as caught:
        operation()
    assert caught.value.field == field


@pytest.mark.parametrize("figure", NOT_A_PERCENTAGE)
def test_progress_is_a_number_from_0_to_100(figure: Any) -> None:
    refused("progress", lambda: operations.update(running(), NOON, progress=figure))
    task = step_in_status(StepStatus.RUNNING)
    refused("progress", lambda: operations.update_step(task, NOON, "a", progress=figure))


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf"), 1_000_001, "1", True])
def test_a_weight_is_a_positive_number(weight: Any) -> None:
    refused("weight", lambda: create(steps=[StepPlan("a", weight)]))
    refused("weight", lambda: operations.start_step(running(), NOON, "a", weight=weight))


@pytest.mark.parametrize("text", ["x" * 2001, "\ud800", 5, b"bytes"])
def test_sentences_are_text_of_a_bounded_length(text: Any) -> None:
    one, step = running(), step_in_status(StepStatus.RUNNING)
    refused("message", lambda: create(message=text))
    refused("message", lambda: operations.update(one, NOON, message=text))
    refused("stage", lambda: operations.update(one, NOON, step=text))
    refused("step", lambda: operations.start_step(one, NOON, text))
    refused("message", lambda: operations.start_step(one, NOON, "a", message=text))
    refused("message", lambda: operations.update_step(step, NOON, "a", message=text))
    refused("message", lambda: operations.end_step(step, NOON, "a", StepStatus.SKIPPED, message=text))
    refused("error", lambda: operations.end_step(step, NOON, "a", StepStatus.FAILED, error=text))
    refused("message", lambda: operations.complete(one, NOON, result=b"1", message=text))
    refused("error", lambda: operations.fail(one, NOON, code="failed", detail=text))
    refused("message", lambda: operations.cancel(one, NOON, detail=text))


@pytest.mark.parametrize("text", ["\udfff", 5, b"bytes"])
def test_text_is_text(text: Any) -> None:
    refused("text", lambda: operations.update(running(), NOON, text=text))


@pytest.mark.parametrize("name", ["", "two\nlines", "\x00"])
def test_a_step_has_a_name_that_can_be_read(name: str) -> None:
    refused("step", lambda: operations.start_step(running(), NOON, name))


@pytest.mark.parametrize("type", ["complete", "error", "message", ""])
def test_work_cannot_say_its_own_end_as_an_update(type: str) -> None:
    refused("type", lambda: operations.update(running(), NOON, type=type))


@pytest.mark.parametrize("name", sorted(RESERVED_FIELDS))
def test_further_fields_cannot_pose_as_the_messages_own(name: str) -> None:
    step = step_in_status(StepStatus.RUNNING)
    refused(name, lambda: operations.update(running(), NOON, fields={name: 1}))
    refused(name, lambda: operations.update_step(step, NOON, "a", fields={name: 1}))
    refused(name, lambda: operations.end_step(step, NOON, "a", StepStatus.COMPLETED, fields={name: 1}))


@pytest.mark.parametrize("value", [object(), "\ud800", {1: {2: object()}}])
def test_further_fields_are_json(value: Any) -> None:
    refused("fields", lambda: operations.update(running(), NOON, fields={"x": value}))


@pytest.mark.parametrize(
    ("sentence", "fitted"),
    [("short", "short"), ("x" * 5000, "x" * 2000), ("a\ud800b", "a?b")],
)
def test_a_sentence_is_made_to_fit(sentence: str, fitted: str) -> None:
    assert operations.fit(sentence) == fitted
    assert message(operations.fail(running(), NOON, code="c", detail=fitted)).data["error"] == fitted
