"""What a subscription gives to whoever iterates over it."""

import attrs


@attrs.frozen
class ReceivedEvent:
    """One event."""

    id: str  # empty only on streams whose events have no ids
    type: str
    topics: tuple[str, ...] | None  # None over SSE, whose wire does not carry them
    data: str  # text as published; of a JSON value its compact JSON, the same over every transport


@attrs.frozen
class Gap:
    """Events after ``requested`` are no longer kept; the stream goes on after ``resumed_after``."""

    requested: str
    resumed_after: str


@attrs.frozen
class Connected:
    """The server has answered and events may come. Fields the transport does not have are None."""

    connection_id: str | None
    head: str | None  # the newest event's id when the connection was made
    heartbeat_seconds: float | None


@attrs.frozen
class Reconnecting:
    """The connection is gone, or was refused; the next try follows after a wait."""

    delay_seconds: float
    reason: str


@attrs.frozen
class ClosingNotice:
    """The server says that it is about to end this connection: shutdown, lifetime, replaced, overflow…"""

    reason: str


@attrs.frozen
class CursorMoved:
    """No event, but the subscription's place is now here: what it asked for has nothing before it."""

    id: str


Item = ReceivedEvent | Gap | Connected | Reconnecting | ClosingNotice | CursorMoved
