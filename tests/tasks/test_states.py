"""The tables of states: every state x event of tasks and steps, and the rules that couple them."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from streamd.errors import InvalidTransition
from streamd.tasks import Status, Step, StepPlan, StepStatus, Task, operations
from streamd.tasks.model import Change
from streamd.tasks.states import (
    STEP_EVENT_AT_END,
    STEP_TABLE,
    TASK_TABLE,
    StepEvent,
    TaskEvent,
    next_status,
    next_step_status,
)
from tests.support.clocks import at
from tests.support.task_operations import create, message, running, start

TASK_PAIRS = [(status, event) for status in Status for event in TaskEvent]
STEP_PAIRS = [(status, event) for status in StepStatus for event in StepEvent]
ENDS = (TaskEvent.COMPLETE, TaskEvent.FAIL, TaskEvent.CANCEL)

PERFORM: Mapping[TaskEvent, Callable[[Task], Change]] = {
    TaskEvent.START: start,
    TaskEvent.UPDATE: lambda task: operations.update(task, at(9), progress=1),
    TaskEvent.RENEW: lambda task: operations.renew_lease(task, at(99)),
    TaskEvent.MOVE_STEP: lambda task: operations.start_step(task, at(9), "b"),
    TaskEvent.COMPLETE: lambda task: operations.complete(task, at(9), result=b"1", shown_result=1),
    TaskEvent.FAIL: lambda task: operations.fail(task, at(9), code="failed", detail="it broke"),
    TaskEvent.CANCEL: lambda task: operations.cancel(task, at(9), detail="not wanted"),
}

PERFORM_ON_STEP: Mapping[StepEvent, Callable[[Task], Change]] = {
    StepEvent.START: lambda task: operations.start_step(task, at(9), "a"),
    StepEvent.UPDATE: lambda task: operations.update_step(task, at(9), "a", progress=1),
    StepEvent.COMPLETE: lambda task: operations.end_step(task, at(9), "a", StepStatus.COMPLETED),
    StepEvent.FAIL: lambda task: operations.end_step(task, at(9), "a", StepStatus.FAILED),
    StepEvent.SKIP: lambda task: operations.end_step(task, at(9), "a", StepStatus.SKIPPED),
}

WAY_TO_STATUS: Mapping[Status, tuple[TaskEvent, ...]] = {
    Status.PENDING: (),
    Status.RUNNING: (TaskEvent.START,),
    Status.COMPLETED: (TaskEvent.START, TaskEvent.COMPLETE),
    Status.FAILED: (TaskEvent.START, TaskEvent.FAIL),
    Status.CANCELLED: (TaskEvent.START, TaskEvent.CANCEL),
}

WAY_TO_STEP_STATUS: Mapping[StepStatus, tuple[StepEvent, ...]] = {
    StepStatus.PENDING: (),
    StepStatus.RUNNING: (StepEvent.START,),
    StepStatus.COMPLETED: (StepEvent.START, StepEvent.COMPLETE),
    StepStatus.FAILED: (StepEvent.START, StepEvent.FAIL),
    StepStatus.SKIPPED: (StepEvent.SKIP,),
}


def task_in(status: Status) -> Task:
    """Bring a task with two pending steps to a status, by operations alone."""
    task = create(steps=[StepPlan("a"), StepPlan("b")]).task
    for event in WAY_TO_STATUS[status]:
        task = PERFORM[event](task).task
    return task


def task_with_step_in(status: StepStatus) -> Task:
    """Bring step ``a`` of a running task to a status, by operations alone."""
    task = running(StepPlan("a"), StepPlan("b"))
    for event in WAY_TO_STEP_STATUS[status]:
        task = PERFORM_ON_STEP[event](task).task
    return task


def step_of(task: Task, name: str = "a") -> Step:
    step = task.find_step(name)
    assert step is not None
    return step


def test_the_tables_know_every_status_and_every_event() -> None:
    assert set(TASK_TABLE) == set(Status)
    assert set(STEP_TABLE) == set(StepStatus)
    assert {event for row in TASK_TABLE.values() for event in row} == set(TaskEvent)
    assert {event for row in STEP_TABLE.values() for event in row} == set(StepEvent)


def test_nothing_follows_an_end() -> None:
    ended = {Status.COMPLETED, Status.FAILED, Status.CANCELLED}
    assert {status for status in Status if status.ended} == ended
    assert all(TASK_TABLE[status] == {} for status in ended)
    assert {status for status in StepStatus if status.ended} == {
        StepStatus.COMPLETED,
        StepStatus.FAILED,
        StepStatus.SKIPPED,
    }


@pytest.mark.parametrize(("status", "event"), TASK_PAIRS)
def test_an_operation_on_a_task_follows_the_table(status: Status, event: TaskEvent) -> None:
    task = task_in(status)
    following = TASK_TABLE[status].get(event)
    if following is None:
        with pytest.raises(InvalidTransition) as caught:
            PERFORM[event](task)
        assert caught.value.field == "status"
        assert status.value in caught.value.detail
        return
    change = PERFORM[event](task)
    assert change.task.status is following
    if event is TaskEvent.RENEW:
        assert (change.task.version, change.message) == (task.version, None)
    else:
        assert change.task.version == task.version + 1
        assert message(change).data["status"] == following.value
        assert message(change).data["version"] == change.task.version


@pytest.mark.parametrize(("status", "event"), STEP_PAIRS)
def test_an_operation_on_a_step_follows_the_table(status: StepStatus, event: StepEvent) -> None:
    task = task_with_step_in(status)
    following = STEP_TABLE[status].get(event)
    if following is None:
        with pytest.raises(InvalidTransition) as caught:
            PERFORM_ON_STEP[event](task)
        assert caught.value.field == "step"
        assert status.value in caught.value.detail
        return
    change = PERFORM_ON_STEP[event](task)
    assert step_of(change.task).status is following
    assert message(change).data["step_status"] == following.value
    assert change.task.version == task.version + 1


@pytest.mark.parametrize(
    ("status", "event", "detail"),
    [
        (Status.PENDING, TaskEvent.UPDATE, "the task is pending, not running"),
        (Status.PENDING, TaskEvent.COMPLETE, "the task is pending and cannot become completed"),
        (Status.RUNNING, TaskEvent.START, "the task is running and cannot become running"),
        (Status.CANCELLED, TaskEvent.FAIL, "the task is cancelled and cannot become failed"),
    ],
)
def test_a_rejected_event_names_the_status(status: Status, event: TaskEvent, detail: str) -> None:
    with pytest.raises(InvalidTransition) as caught:
        next_status(status, event)
    assert caught.value.detail == detail


@pytest.mark.parametrize(
    ("status", "event", "detail"),
    [
        (StepStatus.PENDING, StepEvent.UPDATE, "step 'a' is pending, not running"),
        (StepStatus.PENDING, StepEvent.COMPLETE, "step 'a' is pending and cannot become completed"),
        (StepStatus.SKIPPED, StepEvent.START, "step 'a' is skipped and cannot become running"),
    ],
)
def test_a_rejected_event_of_a_step_names_step_and_status(
    status: StepStatus, event: StepEvent, detail: str
) -> None:
    with pytest.raises(InvalidTransition) as caught:
        next_step_status("a", status, event)
    assert caught.value.detail == detail


# --- coupling rules -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.RUNNING])
@pytest.mark.parametrize(
    "operation",
    [
        lambda task: operations.start_step(task, at(9), "b"),
        lambda task: operations.start_step(task, at(9), "new"),
        lambda task: operations.update_step(task, at(9), "a", progress=1),
        lambda task: operations.end_step(task, at(9), "a", StepStatus.COMPLETED),
        lambda task: operations.end_step(task, at(9), "a", StepStatus.SKIPPED),
    ],
)
def test_rule_1_steps_move_only_while_their_task_runs(
    status: Status, operation: Callable[[Task], Change]
) -> None:
    with pytest.raises(InvalidTransition) as caught:
        operation(task_in(status))
    assert caught.value.field == "status"


@pytest.mark.parametrize("event", ENDS)
def test_rule_2_the_end_of_a_task_ends_its_running_steps_alone(event: TaskEvent) -> None:
    task = operations.start_step(running(StepPlan("a"), StepPlan("b"), StepPlan("c")), at(1), "c").task
    task = operations.end_step(task, at(1), "c", StepStatus.SKIPPED, message="not needed").task
    task = operations.start_step(task, at(1), "a").task
    task = operations.update_step(task, at(1), "a", progress=30).task
    change = PERFORM[event](task)
    a, b, c = change.task.steps
    assert a.status is STEP_TABLE[StepStatus.RUNNING][STEP_EVENT_AT_END[event]]
    if event is TaskEvent.COMPLETE:
        assert (a.status, a.progress, a.error) == (StepStatus.COMPLETED, 100, "")
    else:
        assert (a.status, a.progress, bool(a.error)) == (StepStatus.FAILED, 30, True)
    assert b.status is StepStatus.PENDING
    assert c == step_of(task, "c")
    assert message(change).steps == (a,)


@pytest.mark.parametrize("event", ENDS)
def test_rule_3_a_lease_exists_exactly_while_its_task_runs(event: TaskEvent) -> None:
    pending = create().task
    assert (pending.lease, pending.lease_until) == ("", None)
    task = start(pending).task
    assert (task.lease, task.lease_until) == ("secret", at(30))
    assert PERFORM[TaskEvent.UPDATE](task).task.lease == "secret"
    assert PERFORM[TaskEvent.RENEW](task).task.lease_until == at(99)
    ended = PERFORM[event](task).task
    assert (ended.lease, ended.lease_until, ended.worker) == ("", None, "w")


def test_rule_4_progress_never_falls_and_steps_alone_do_not_complete_it() -> None:
    task = operations.update(running(StepPlan("a")), at(1), progress=40).task
    events: list[tuple[Any, float]] = [
        (lambda task: operations.start_step(task, at(2), "a"), 40),
        (lambda task: operations.update_step(task, at(2), "a", progress=10), 40),
        (lambda task: operations.update(task, at(2), progress=39.9), 40),
        (lambda task: operations.end_step(task, at(2), "a", StepStatus.COMPLETED), 99),
        (lambda task: operations.start_step(task, at(2), "late", weight=99), 99),
        (PERFORM[TaskEvent.COMPLETE], 100),
    ]
    for event, progress in events:
        task = event(task).task
        assert task.progress == progress


@pytest.mark.parametrize("event", [TaskEvent.FAIL, TaskEvent.CANCEL])
def test_rule_4_an_end_without_success_keeps_the_progress(event: TaskEvent) -> None:
    task = operations.update(running(), at(1), progress=20).task
    assert PERFORM[event](task).task.progress == 20


@pytest.mark.parametrize("status", [StepStatus.PENDING, StepStatus.RUNNING])
def test_a_step_ends_only_with_a_status_that_is_an_end(status: StepStatus) -> None:
    with pytest.raises(InvalidTransition) as caught:
        operations.end_step(task_with_step_in(StepStatus.RUNNING), at(1), "a", status)
    assert caught.value.field == "step"


@pytest.mark.parametrize(
    "operation",
    [
        lambda task: operations.update_step(task, at(1), "c"),
        lambda task: operations.end_step(task, at(1), "c", StepStatus.SKIPPED),
    ],
)
def test_an_unknown_step_neither_moves_nor_ends(operation: Callable[[Task], Change]) -> None:
    with pytest.raises(InvalidTransition) as caught:
        operation(running())
    assert caught.value.field == "step"
