"""Tasks built by operations alone, without a store or a clock."""

from typing import Any

from streamd.tasks import Message, StepPlan, Task, operations
from streamd.tasks.model import Change
from tests.support.clocks import NOON, at


def create(**values: Any) -> Change:
    """Create a task with a minute to its deadline."""
    return operations.create(**{"id": "t", "kind": "k", "now": NOON, "timeout_seconds": 60.0, **values})


def start(task: Task, seconds: float = 0) -> Change:
    """Start a task for the worker ``w``, with a lease of 30 seconds."""
    return operations.start(task, at(seconds), worker="w", lease="secret", lease_seconds=30)


def running(*steps: StepPlan) -> Task:
    """Create and start a task with planned steps."""
    return start(create(steps=steps).task).task


def message(change: Change) -> Message:
    """Return the message of a change that has one."""
    assert change.message is not None
    return change.message


def with_running_step() -> Task:
    """Build a running task whose step ``a`` runs."""
    return operations.start_step(running(StepPlan("a"), StepPlan("b")), NOON, "a").task
