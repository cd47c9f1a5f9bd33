"""The items of a subscription: events, gaps, and changes of the connection."""

import attrs


@attrs.frozen
class ReceivedEvent:
    """One event, or a message to this client alone."""

    id: str  # empty: a message, or an event of a stream whose events have no ids
    type: str
    topics: tuple[str, ...] | None  # None over SSE, which does not carry them
    data: (
        str | bytes
    )  # the published text, compact JSON, or the published bytes; the same over every transport


@attrs.frozen
class Gap:
    """Events after ``requested`` are no longer kept. The stream goes on after ``resumed_after``."""

    requested: str
    resumed_after: str


@attrs.frozen
class Connected:
    """The connection is open. Fields that the transport does not have are None."""

    connection_id: str | None
    head: str | None  # the newest event's id at the time of the connection
    heartbeat_seconds: float | None


@attrs.frozen
class Reconnecting:
    """The connection was lost or rejected. The next attempt follows after the delay."""

    delay_seconds: float
    reason: str


@attrs.frozen
class ClosingNotice:
    """The server is about to end the connection: shutdown, lifetime, replaced, overflow…"""

    reason: str


@attrs.frozen
class CursorMoved:
    """The cursor moved without an event: there are no further events of the subscription up to here."""

    id: str


Item = ReceivedEvent | Gap | Connected | Reconnecting | ClosingNotice | CursorMoved
