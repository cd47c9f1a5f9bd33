"""The requests and answers of ``/api/strategy``, as ``/openapi.json`` documents them."""

from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ...http import SnapshotSchema

Time = Annotated[str, Meta(description="RFC 3339, in UTC.")]
State = Literal["pending", "running", "completed", "failed", "cancelled"]

_NAMES: Final = {
    "strategy_id": "strategyId",
    "status_url": "statusUrl",
    "events_url": "eventsUrl",
    "result_url": "resultUrl",
    "cancel_url": "cancelUrl",
}
"""The contract's spelling; all other members are spelled as in streamd's own messages."""


class BudgetBody(Struct):
    """An amount of money."""

    amount: Annotated[float, Meta(description="0 or more, with at most two decimals.")]
    currency: Annotated[str, Meta(description="ISO 4217, such as EUR.")] = ""


class ProfileBody(Struct):
    """The profile to write a strategy for."""

    business: Annotated[str, Meta(description="The business and its offer.")]
    audience: Annotated[str, Meta(description="The people to reach.")]
    goals: Annotated[list[str], Meta(description="The goals, the most important first.")]
    channels: Annotated[list[str], Meta(description="The channels on which to meet the audience.")]
    budget: Annotated[
        float | BudgetBody, Meta(description="For the whole time: a number, or an amount with its currency.")
    ]


class AcceptedStrategy(Struct, rename=_NAMES):
    """A strategy task that was created."""

    strategy_id: str
    status: State
    status_url: str
    events_url: str
    result_url: str
    cancel_url: str
    deadline: Annotated[Time, Meta(description="The time at which the task fails if it is not complete.")]


class EducationalPiece(Struct):
    """A text to read while the strategy is written."""

    after: str
    title: str
    text: str


class StrategyStatus(SnapshotSchema, kw_only=True, rename=_NAMES):
    """The current state, equal to the first message of a stream."""

    strategy_id: str
    text: Annotated[str, Meta(description="The text so far, as Markdown.")]
    educational_content: EducationalPiece | UnsetType = UNSET
    status_url: str
    events_url: str
    result_url: str
    cancel_url: str


class WrittenSection(Struct):
    """One section of the strategy."""

    name: str
    title: str
    text: str


class StrategyResult(Struct, rename=_NAMES):
    """The complete strategy."""

    strategy_id: str
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
    generator: Annotated[str, Meta(description="`rules`, or the name of the model.")]
