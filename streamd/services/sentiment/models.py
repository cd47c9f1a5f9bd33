"""The JSON bodies and answers of the sentiment API."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType


class Sentiment(StrEnum):
    """The tone of an item about its share."""

    POSITIVE = "positive"
    NEUTRAL = "neutral"
    NEGATIVE = "negative"


class ItemBody(Struct, frozen=True, forbid_unknown_fields=True):
    """One statement about one share, as the request gives it."""

    ticker: str
    text: str
    item_id: str | None = None  # a known id is acknowledged and changes nothing
    sentiment: Annotated[
        str | None,
        Meta(
            description="In any letter case. It must agree with the score, and follows from it by default.",
            extra_json_schema={"enum": [*Sentiment, None]},
        ),
    ] = None
    score: Annotated[
        float | None,
        Meta(
            description="From -1 to 1; positive from 0.05, negative up to -0.05. By default the text is"
            " scored, and the score limited to the range of a given sentiment."
        ),
    ] = None
    timestamp: Annotated[datetime, Meta(tz=True)] | None = None  # default: now


class ItemsBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The items of one request; all are accepted, or none."""

    items: list[ItemBody]


class AcceptedItems(Struct):
    """All items of the request are stored. Known ids change nothing, whatever their other fields say."""

    accepted: Annotated[int, Meta(description="Number of items with a new id.")]
    item_ids: Annotated[list[str], Meta(description="Ids of all items of the request, in request order.")]
    outside_window: (
        Annotated[
            list[str],
            Meta(
                description="Ids of the items that are 24 h old or older: they are stored, and not counted."
            ),
        ]
        | UnsetType
    ) = UNSET  # absent without such items


class SentimentMetrics(Struct, frozen=True):
    """The data of a ``metrics`` event."""

    total: int  # items in the window
    positive: int
    neutral: int
    negative: int
    by_tag: Mapping[str, int]  # number of items per ticker with at least one item
    rate_last_hour: int  # number of items in the last hour
    rate_last_24h: int  # number of items in the last 24 hours, which are the window


class StreamStatus(Struct):
    """Number of open streams, their limit and the service's uptime."""

    connections: int
    max_connections: int
    uptime_seconds: float


class UnchangedMetrics(Struct):
    """The metrics still have the ``ETag`` of the request."""
