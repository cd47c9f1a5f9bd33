"""The answers of ``/research``, as ``/openapi.json`` documents them."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ...events import format_time
from ...tasks import Status, StepStatus, Task, as_percent, format_optional
from .query import ResearchQuery
from .sources import Area

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
    StepStatus.SKIPPED: "failed",  # the service skips no dataset; a skipped one has no data
}


class CamelStruct(msgspec.Struct, rename="camel", kw_only=True):
    """Base of the answers, whose fields are camelCase on the wire."""


class AreaSummary(CamelStruct, kw_only=True):
    """An area, and its datasets."""

    area_id: str
    title: str
    datasets: list[str]


class AreaList(CamelStruct, kw_only=True):
    """All areas."""

    areas: list[AreaSummary]


class StartedSession(CamelStruct, kw_only=True):
    """A session that was started, and its URLs."""

    research_session_id: str
    status: SessionStatus
    events_url: str
    status_url: str
    result_url: str


class SessionStep(CamelStruct, kw_only=True):
    """One dataset of a session."""

    dataset: str
    status: DatasetStatus
    completed: bool
    message: str
    error: Annotated[str, Meta(description="The reason if there is no data.")] | UnsetType = UNSET


class ResearchSession(CamelStruct, kw_only=True):
    """The current state of a session."""

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
    step: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="Number of the current step, from 1.")
    ]
    step_name: Annotated[str, Meta(description="Its dataset; empty before any.")] = msgspec.field(
        name="step_name"
    )
    steps: list[SessionStep]
    error: Annotated[str, Meta(description="The reason if the session failed.")] | UnsetType = UNSET
    code: Annotated[str, Meta(description="The code of the error, for programs.")] | UnsetType = UNSET


class ResearchResult(CamelStruct, kw_only=True):
    """The findings by dataset, and the conclusions for the caller."""

    research_session_id: str
    area_id: str
    title: str
    company_id: str
    user_role: str
    user_company: str
    time: str
    findings: list[dict[str, Any]]
    missing: list[dict[str, Any]]
    insights: list[dict[str, Any]]
    recommendations: list[dict[str, Any]]


def describe_areas(areas: Iterable[Area]) -> AreaList:
    """Build the list of the areas."""
    return AreaList(
        areas=[
            AreaSummary(
                area_id=area.id, title=area.title, datasets=[dataset.name for dataset in area.datasets]
            )
            for area in areas
        ]
    )


def present_steps(task: Task) -> list[SessionStep]:
    """Build the steps of a session, one for each dataset in the order of its area."""
    return [
        SessionStep(
            dataset=step.name,
            status=_STEP_STATUS[step.status],
            completed=step.status is StepStatus.COMPLETED,
            message=step.message,
            error=step.error or UNSET,
        )
        for step in task.steps
    ]


def present_session(task: Task, query: ResearchQuery) -> ResearchSession:
    """Build the session from its task and its query."""
    return ResearchSession(
        research_session_id=task.id,
        status=_STATUS[task.status],
        **msgspec.structs.asdict(query),
        datasets=[step.name for step in task.steps],
        start_time=format_time(task.created_at),
        end_time=format_optional(task.ended_at),
        deadline=format_time(task.deadline),
        progress=as_percent(task.progress),
        message=task.message,
        step=task.number_of(task.step),
        step_name=task.step,
        steps=present_steps(task),
        error=task.error.detail if task.error is not None else UNSET,
        code=task.error.code if task.error is not None else UNSET,
    )
