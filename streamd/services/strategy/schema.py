"""The shapes of the answers, as ``/openapi.json`` shows them."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Time = Annotated[str, Meta(description="RFC 3339, in UTC.")]
State = Literal["pending", "running", "completed", "failed", "cancelled"]


class Accepted(Struct):
    """The strategy is being written."""

    strategyId: str  # noqa: N815 - the contract's spelling, here and below
    status: State
    statusUrl: str  # noqa: N815
    eventsUrl: str  # noqa: N815
    resultUrl: str  # noqa: N815
    cancelUrl: str  # noqa: N815
    deadline: Annotated[Time, Meta(description="When it fails, if it is not complete by then.")]


class EducationalPiece(Struct):
    """Something to read while it is written."""

    after: str
    title: str
    text: str


class StepStatus(Struct):
    """One section of the work."""

    name: str
    status: Literal["pending", "running", "completed", "failed", "skipped"]
    progress: float
    weight: float
    message: str
    error: str


class StrategyStatus(Struct):
    """The present state, the same as a stream's first message."""

    strategyId: str  # noqa: N815
    taskId: str  # noqa: N815
    version: int
    status: State
    step: str
    stage: str
    progress: Annotated[float, Meta(description="0 to 100; never falls.")]
    message: str
    eta_seconds: float | None
    timestamp: Time
    steps: list[StepStatus]
    text: Annotated[str, Meta(description="All that has been written so far, as Markdown.")]
    deadline: Time
    created_at: Time
    started_at: Time | None
    ended_at: Time | None
    educational_content: EducationalPiece | UnsetType = UNSET
    error: Annotated[str, Meta(description="Why it failed, or that it was cancelled.")] | UnsetType = UNSET
    code: str | UnsetType = UNSET


class WrittenSection(Struct):
    """One section."""

    name: str
    title: str
    text: str


class Result(Struct):
    """The strategy."""

    strategyId: str  # noqa: N815
    profile: dict[str, Any]
    weeks: int
    budget: Annotated[
        dict[str, Any], Meta(description="`by_channel`, `by_goal` and `by_phase` each add up to `amount`.")
    ]
    phases: list[dict[str, Any]]
    milestones: list[dict[str, Any]]
    measures: list[dict[str, Any]]
    sections: list[WrittenSection]
    text: Annotated[str, Meta(description="All sections, with their headings, as Markdown.")]
    generator: Annotated[str, Meta(description="`rules`, or the model that wrote it.")]
