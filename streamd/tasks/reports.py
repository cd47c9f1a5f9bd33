"""The reports of workers elsewhere: one message with everything a worker tells about its task."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import attrs
from msgspec import Meta, Struct, structs

from ..errors import InvalidField, InvalidTransition
from . import operations
from .messages import PROGRESS
from .model import Change, Task
from .sentences import check_code, check_sentence
from .states import Status, StepStatus

Completion = Callable[[Task, datetime], Change]
"""Build the change that ends a task, such as one that completes it with the reported result."""


class StepReport(Struct, forbid_unknown_fields=True):
    """One step: `running` starts it or reports its progress; `completed`, `failed` and `skipped` end it."""

    name: str
    status: Literal["running", "completed", "failed", "skipped"] = "running"
    progress: float | None = None
    message: str | None = None
    error: str = ""
    weight: float | None = None


class ReportedFailure(Struct, forbid_unknown_fields=True):
    """The reason for a failure."""

    detail: Annotated[str, Meta(description="A plain sentence, shown to the task's followers.")]
    code: Annotated[str, Meta(description="For programs: an identifier of 1 to 64 characters.")] = "failed"


class Report(Struct, forbid_unknown_fields=True):
    """A worker's report on its task. All of it applies or nothing; the lease alone is a heartbeat."""

    lease: str
    lease_seconds: Annotated[float, Meta(description="How long to hold the task this time (s).")] | None = (
        None
    )
    progress: float | None = None
    step_name: (
        Annotated[str, Meta(description="A name for what is being done that starts no step.")] | None
    ) = None
    stage: Annotated[str, Meta(description="The former name of `step_name`.")] | None = None
    message: str | None = None
    text: Annotated[str, Meta(description="Appended to the task's text.")] | None = None
    type: Literal["progress", "educational", "status"] = PROGRESS
    fields: Annotated[dict[str, Any], Meta(description="Further fields of the message.")] = {}
    step: StepReport | None = None
    status: Literal["completed", "failed", "cancelled"] | None = None
    result: Any = None
    error: ReportedFailure | None = None

    def check(self) -> None:
        """Check the fields against each other, and the characters and lengths of the texts inside others.

        Raises:
            InvalidField: an error or a result does not belong to the status, or a text is invalid.
        """
        if self.status == "failed" and self.error is None:
            raise InvalidField("a task that failed needs an error with a detail", field="error")
        if self.error is not None and self.status != "failed":
            raise InvalidField("an error is only said of a task with status failed", field="error")
        if self.result is not None and self.status != "completed":
            raise InvalidField("a result is only said of a task with status completed", field="result")
        if self.error is not None:
            check_code(self.error.code, "error.code")
            check_sentence(self.error.detail, "error.detail")
        if self.step is not None:
            check_sentence(self.step.message or "", "step.message")
            check_sentence(self.step.error, "step.error")

    def changes(
        self, task: Task, now: datetime, completion: Completion, cancellation: Completion = operations.cancel
    ) -> Sequence[Change]:
        """Build the changes that this report makes to a task: step, then update, then end.

        Each of them renews the lease; a report without any renews it alone. A task that was cancelled in the
        meantime is left unchanged whatever was reported, because the worker is about to stop.

        Args:
            task: the task, held by the reporting worker or ended.
            now: steady time.
            completion: completes the task with the reported result.
            cancellation: cancels the task with the reported message.

        Raises:
            InvalidField: a value is invalid.
            InvalidTransition: the task has ended otherwise, or its steps do not allow the report.
        """
        if task.status is Status.CANCELLED:
            return []
        if task.status.ended:
            raise InvalidTransition(f"the task is {task.status.value}", field="status")
        until = task.at(now) + timedelta(seconds=self.lease_seconds or task.lease_seconds)
        changes: list[Change] = []

        def latest() -> Task:
            return changes[-1].task if changes else attrs.evolve(task, lease_until=until)

        message = self.message
        if self.step is not None:
            step = self.step
            if step.message is None and message is not None and self.status is None:
                # The message is the step's own, so that one event reports both.
                step, message = structs.replace(step, message=message), None
            changes += _step_changes(latest(), now, step)
        if self._has_update(message):
            changes.append(
                operations.update(
                    latest(),
                    now,
                    progress=self.progress,
                    step=self._doing(),
                    message=message,
                    text=self.text or "",
                    type=self.type,
                    fields=self.fields,
                )
            )
        if self.status == "completed":
            changes.append(completion(latest(), now))
        elif self.status == "failed":
            assert self.error is not None
            changes.append(operations.fail(latest(), now, code=self.error.code, detail=self.error.detail))
        elif self.status == "cancelled":
            changes.append(cancellation(latest(), now))
        return changes or [operations.renew_lease(task, until)]

    def _has_update(self, message: str | None) -> bool:
        """Return True if the report changes the task apart from its step and its end."""
        if self.progress is not None or self._doing() is not None or self.text or self.fields:
            return True
        return message is not None and self.status is None

    def _doing(self) -> str | None:
        return self.stage if self.step_name is None else self.step_name


def _step_changes(task: Task, now: datetime, step: StepReport) -> list[Change]:
    name, known = step.name, task.find_step(step.name)
    changes: list[Change] = []
    if known is None or known.status is StepStatus.PENDING:
        started = operations.start_step(task, now, name, weight=step.weight, message=step.message or "")
        changes.append(started)
        task = started.task
        if step.status == "running" and step.progress is None:
            return changes
    if step.status == "running":
        changes.append(operations.update_step(task, now, name, progress=step.progress, message=step.message))
    else:
        ended = StepStatus(step.status)
        changes.append(operations.end_step(task, now, name, ended, message=step.message, error=step.error))
    return changes
