"""Control frames: what the server itself has to say on a stream.

They never carry an event's ``id:``, which would move a client's cursor to a place it has not read.
Only :class:`CursorMove` does that, on purpose, and it is no event: a block without data (WHATWG
9.2.6) moves the last event id and dispatches nothing.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

import attrs
import msgspec

from .ids import EventId
from .sse import encode_block


class ControlName(StrEnum):
    """Names of the control frames: the SSE event type, or ``control`` in JSON."""

    CONNECTED = "connected"  # first on every stream
    HEARTBEAT = "heartbeat"  # nothing happened, all is well
    GAP = "gap"  # events were lost to retention before this subscriber read them
    TOKEN_EXPIRING = "token-expiring"  # noqa: S105 - a name, not a secret
    CLOSING = "closing"  # last on a stream that the server ends


RESERVED_TYPES: Final = frozenset(ControlName)
"""Types an event cannot have, so that nobody can forge a control frame by publishing."""


@attrs.frozen(eq=False)
class Control:
    """One control frame; the same object can be sent to any number of clients.

    Args:
        name: which one. JSON-only answers on a WebSocket (``pong``, ``subscribed``, ``error``) use
            their own names.
        data: JSON fields.
        retry_ms: reconnection time for the client, in milliseconds.
    """

    name: str
    data: Mapping[str, Any] = attrs.field(factory=dict)
    retry_ms: int | None = None

    @cached_property
    def sse(self) -> bytes:
        """One block of an event stream, its type the name, its data the JSON fields."""
        return encode_block(
            type=self.name, data=msgspec.json.encode(self.data).decode(), retry_ms=self.retry_ms
        )

    @cached_property
    def json(self) -> bytes:
        """One JSON object: ``control`` and the fields beside it."""
        retry = {} if self.retry_ms is None else {"retry": self.retry_ms}
        return msgspec.json.encode({"control": str(self.name), **self.data, **retry})

    @cached_property
    def text(self) -> str:
        """The same JSON as text."""
        return self.json.decode()


@attrs.frozen(eq=False)
class CursorMove:
    """Moves a client's cursor to ``id`` without an event, so that a quiet topic keeps its place."""

    id: EventId

    @cached_property
    def sse(self) -> bytes:
        """A block with nothing but the id."""
        return encode_block(id=self.id)

    @cached_property
    def json(self) -> bytes:
        """One JSON object with ``control`` and ``id``."""
        return msgspec.json.encode({"control": "cursor", "id": self.id})

    @cached_property
    def text(self) -> str:
        """The same JSON as text."""
        return self.json.decode()


def heartbeat(now: datetime) -> Control:
    """Nothing happened, all is well. Made once for all who are due."""
    return Control(ControlName.HEARTBEAT, {"timestamp": format_time(now)})


def gap(requested: EventId, resumed_after: EventId) -> Control:
    """Events after ``requested`` were dropped; the stream goes on after ``resumed_after``."""
    return Control(ControlName.GAP, {"requested": requested, "resumed_after": resumed_after})


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
