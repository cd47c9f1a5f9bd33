"""The JSON bodies and answers of the sentiment API."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct


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
    sentiment: Sentiment | None = None  # default: derived from the score
    score: float | None = None  # -1 to 1; default: the text is scored
    timestamp: Annotated[datetime, Meta(tz=True)] | None = None  # default: now


class ItemsBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The items of one request; all are accepted, or none."""

    items: list[ItemBody]


class AcceptedItems(Struct):
    """All items of the request are stored."""

    accepted: Annotated[int, Meta(description="Number of items with a new id; known ids change nothing.")]
    item_ids: Annotated[list[str], Meta(description="Ids of all items of the request, in request order.")]


class SentimentMetrics(Struct, frozen=True):
    """The data of a ``metrics`` event."""

    total: int  # items in the window
    positive: int
    neutral: int
    negative: int
    by_tag: Mapping[str, int]  # number of items per ticker with at least one item
    rate_last_hour: float  # items per hour over the last hour
    rate_last_24h: float  # items per hour over the window


class StreamStatus(Struct):
    """Number of open streams, their limit and the service's uptime."""

    connections: int
    max_connections: int
    uptime_seconds: float


class UnchangedMetrics(Struct):
    """The metrics still have the ``ETag`` of the request."""
