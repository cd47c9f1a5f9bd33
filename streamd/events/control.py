"""Control frames: the server's own messages on a stream, such as heartbeats and gaps.

They never carry an event's ``id:``, which would move a client's cursor to a position it has not read.
Only :class:`CursorMove` moves the cursor, on purpose, and it is no event: a block without data sets the
last event id and dispatches nothing (WHATWG HTML section 9.2.6).
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
    """Names of the control frames: the SSE event type, and ``control`` in JSON."""

    CONNECTED = "connected"  # first on every stream
    HEARTBEAT = "heartbeat"  # the stream was quiet, and the server is there
    GAP = "gap"  # the log dropped events before this subscriber read them
    EXPIRING = "token-expiring"  # the client's token expires soon
    CLOSING = "closing"  # last on a stream that the server ends


class MessageName(StrEnum):
    """Further names of ``control`` in JSON, which no event stream has: events may have them as types."""

    CURSOR = "cursor"  # a cursor move
    MESSAGE = "message"  # an event without an id, for this client alone
    PONG = "pong"  # the answers on a WebSocket
    SUBSCRIBED = "subscribed"
    PUBLISHED = "published"
    ERROR = "error"


RESERVED_TYPES: Final = frozenset(ControlName)
"""Types that events must not have, so that no publisher can forge a control frame."""


@attrs.frozen(eq=False)
class Control:
    """One control frame; the same object can be sent to any number of clients.

    Args:
        name: a :class:`ControlName`, or the :class:`MessageName` of an answer on a WebSocket.
        data: JSON fields.
        retry_ms: reconnection time for the client (ms).
    """

    name: str
    data: Mapping[str, Any] = attrs.field(factory=dict)
    retry_ms: int | None = None

    @cached_property
    def sse(self) -> bytes:
        """One block of an event stream: the name as its type, the JSON fields as its data."""
        if not isinstance(self.name, StrEnum):
            data = msgspec.json.encode(self.data).decode()
            return encode_block(type=self.name, data=data, retry_ms=self.retry_ms)
        # A fifth of the time of `encode_block`; neither a known name nor JSON has a line break.
        retry = b"" if self.retry_ms is None else b"retry: %d\n" % self.retry_ms
        return b"event: %b\n%bdata: %b\n\n" % (self.name.encode(), retry, msgspec.json.encode(self.data))

    @cached_property
    def json(self) -> bytes:
        """One JSON object: ``control`` with the name, and the fields."""
        retry = {} if self.retry_ms is None else {"retry": self.retry_ms}
        return msgspec.json.encode({"control": str(self.name), **self.data, **retry})

    @cached_property
    def text(self) -> str:
        """The same JSON as text."""
        return self.json.decode()


@attrs.frozen(eq=False)
class CursorMove:
    """Moves a client's cursor to ``id`` without an event.

    It keeps the cursor of a client on a quiet topic from falling behind the log's retention.
    """

    id: EventId

    @cached_property
    def sse(self) -> bytes:
        """A block with the id alone."""
        return encode_block(id=self.id)

    @cached_property
    def json(self) -> bytes:
        """One JSON object with ``control`` and ``id``."""
        return msgspec.json.encode({"control": MessageName.CURSOR, "id": self.id})

    @cached_property
    def text(self) -> str:
        """The same JSON as text."""
        return self.json.decode()


def heartbeat(now: datetime) -> Control:
    """Build a heartbeat, to be shared by all connections it is due for."""
    return Control(ControlName.HEARTBEAT, {"timestamp": format_time(now)})


def gap(requested: EventId, resumed_after: EventId) -> Control:
    """Build the notice that events after ``requested`` were dropped, up to ``resumed_after``."""
    return Control(ControlName.GAP, {"requested": requested, "resumed_after": resumed_after})


def format_time(moment: datetime) -> str:
    """Format a time as RFC 3339 in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
