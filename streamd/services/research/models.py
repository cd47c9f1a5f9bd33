"""A session as clients see it: a task of the kind ``research``, in the words of the research service."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ...events.control import format_time
from ...tasks import Status, StepStatus, Task
from .query import StartResearch

SessionStatus = Literal["initiated", "in_progress", "completed", "failed"]
DatasetStatus = Literal["pending", "in_progress", "completed", "failed"]
Time = Annotated[str, Meta(description="RFC 3339, in UTC.")]

_STATUS: Final[Mapping[Status, SessionStatus]] = {
    Status.PENDING: "initiated",
    Status.RUNNING: "in_progress",
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.CANCELLED: "failed",
}
_STEP_STATUS: Final[Mapping[StepStatus, DatasetStatus]] = {
    StepStatus.PENDING: "pending",
    StepStatus.RUNNING: "in_progress",
    StepStatus.COMPLETED: "completed",
    StepStatus.FAILED: "failed",
    StepStatus.SKIPPED: "failed",  # no dataset is skipped; one that was has brought nothing
}


class StartedSession(msgspec.Struct, rename="camel", kw_only=True):
    """A session that has begun, and where it is followed."""

    research_session_id: str
    status: SessionStatus
    events_url: str
    status_url: str
    result_url: str


class SessionStep(msgspec.Struct, rename="camel", kw_only=True):
    """One dataset of a session."""

    dataset: str
    status: DatasetStatus
    completed: bool
    message: str
    error: Annotated[str, Meta(description="Why there is no data.")] | UnsetType = UNSET


class Session(msgspec.Struct, rename="camel", kw_only=True):
    """A session as it is now."""

    research_session_id: str
    status: SessionStatus
    area_id: str
    company_id: str
    user_role: str
    user_company: str
    datasets: list[str]
    start_time: Time
    end_time: Time | None
    deadline: Time
    progress: Annotated[float, Meta(ge=0, le=100)]
    message: str
    steps: list[SessionStep]
    error: Annotated[str, Meta(description="Why it failed.")] | UnsetType = UNSET
    code: Annotated[str, Meta(description="The same, for programs.")] | UnsetType = UNSET


def session_urls(session_id: str) -> dict[str, str]:
    """Where a session is followed."""
    base = f"/research/stream/{session_id}"
    return {"events_url": f"{base}/events", "status_url": f"{base}/status", "result_url": f"{base}/result"}


def started_session(task: Task) -> StartedSession:
    """What whoever began a session is told. It says initiated even if work on it has begun by now."""
    return StartedSession(research_session_id=task.id, status="initiated", **session_urls(task.id))


def present_session(task: Task, input: Any) -> Session:
    """Build the session that a task with this input is."""
    asked = msgspec.convert(input, StartResearch)
    return Session(
        research_session_id=task.id,
        status=_STATUS[task.status],
        area_id=asked.areaId,
        company_id=asked.companyId,
        user_role=asked.userRole,
        user_company=asked.userCompany,
        datasets=[step.name for step in task.steps],
        start_time=format_time(task.created_at),
        end_time=format_time(task.ended_at) if task.ended_at is not None else None,
        deadline=format_time(task.deadline),
        progress=round(task.progress, 1),
        message=task.message,
        steps=[
            SessionStep(
                dataset=step.name,
                status=_STEP_STATUS[step.status],
                completed=step.status is StepStatus.COMPLETED,
                message=step.message,
                error=step.error or UNSET,
            )
            for step in task.steps
        ],
        error=task.error.detail if task.error is not None else UNSET,
        code=task.error.code if task.error is not None else UNSET,
    )


class SourceView(msgspec.Struct, rename="camel", kw_only=True):
    """Where data came from."""

    kind: Literal["file", "http", "function"]
    name: str


class Finding(msgspec.Struct, rename="camel", kw_only=True):
    """What one dataset said."""

    dataset: str
    title: str
    source: SourceView
    time: Time
    data: Any


class Missing(msgspec.Struct, rename="camel", kw_only=True):
    """A dataset without data, and why."""

    dataset: str
    title: str
    reason: str
