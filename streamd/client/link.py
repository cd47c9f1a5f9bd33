"""What the reconnect loop and its transport of the moment share: the cursor, and what is due."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import attrs
import trio

from ..events import EventId
from ..events.control import ControlName
from .endpoint import ServerEndpoint, Timeouts
from .errors import RequestFailed
from .items import ClosingNotice, Connected, CursorMoved, Gap, Item, ReceivedEvent
from .problem import problem_from_fields

EVENT_CHARS_MAX: Final = 16 * 1024 * 1024
"""The longest event we read: 16 times what a server takes by default, escapes included."""


class StreamOver(Exception):
    """The server has nothing more to say, ever (204): do not come back."""


@attrs.frozen
class ControlFrame:
    """A control frame off any wire."""

    name: str
    fields: Mapping[str, Any]


Frame = ReceivedEvent | CursorMoved | ControlFrame


@attrs.define(eq=False)
class Link:
    """One subscription's place in the log, over all its connections.

    The transport reads ``cursor`` when it connects, calls :meth:`take` for all it receives, and gives
    the connection up after ``silence_seconds`` without a byte.
    """

    timeouts: Timeouts
    send: Callable[[Item], Awaitable[None]]  # to whoever iterates; waits while they are behind
    cursor: EventId | None  # the last id passed on; None: the first `connected` will tell
    # A stream may begin with a snapshot, whose id lies before the head, and which may share it with the
    # event that follows; the server then says everything once, and every id is news.
    snapshots: bool = False
    silence_seconds: float = attrs.field(
        init=False, default=attrs.Factory(lambda self: self.timeouts.silence_seconds, takes_self=True)
    )
    retry_seconds: float | None = None  # the reconnection time the server asked for
    progress: bool = False  # whether this connection brought more than a greeting
    replaced: bool = False  # whether another client has taken our client id

    def begin(self) -> None:
        """A new connection is about to be made."""
        self.silence_seconds = self.timeouts.silence_seconds
        self.progress = False

    def take_retry(self, retry_ms: int | None) -> None:
        """The server asked for a reconnection time."""
        if retry_ms is not None:
            self.retry_seconds = retry_ms / 1000

    async def take(self, frame: Frame) -> None:
        """Pass one frame on, if it is news.

        Cancelling may lose the frame for the iterator; the subscription is then over anyway.

        Raises:
            RequestFailed: the server says that the subscription itself is wrong.
        """
        item = self._decide(frame)
        if item is None:
            await trio.lowlevel.checkpoint()
        else:
            await self.send(item)

    def _decide(self, frame: Frame) -> Item | None:
        match frame:
            case ReceivedEvent() | CursorMoved():
                self.progress = True
                return frame if self._advance(frame.id) or not frame.id else None
            case ControlFrame(name=ControlName.CONNECTED):
                return self._connected(frame.fields)
            case ControlFrame(name=ControlName.GAP):
                # Another log may count from further back: what it says replaces our place.
                gap = Gap(_text(frame.fields, "requested"), _text(frame.fields, "resumed_after"))
                self.cursor = EventId(gap.resumed_after or gap.requested)
                self.progress = True
                return gap
            case ControlFrame(name=ControlName.CLOSING):
                reason = _text(frame.fields, "reason") or "closed"
                self.replaced = reason == "replaced"
                return ClosingNotice(reason)
            case ControlFrame(name="error"):
                # We send nothing on the open stream, so it speaks of the subscription.
                raise RequestFailed(problem_from_fields(frame.fields, status=400))
            case _:
                self.progress = True
                return None

    def _advance(self, event_id: str) -> bool:
        """Move the cursor; False for an id that it has passed already."""
        if not event_id:
            return False
        if self.cursor is not None and event_id <= self.cursor and not self.snapshots:
            return False
        self.cursor = EventId(event_id)
        return True

    def _connected(self, fields: Mapping[str, Any]) -> Connected:
        head = _text(fields, "head") or None
        if self.cursor is None and head is not None and not self.snapshots:
            # From here on nothing may be missed, though no event has come yet.
            self.cursor = EventId(head)
        heartbeat = fields.get("heartbeat_seconds")
        seconds = float(heartbeat) if isinstance(heartbeat, int | float) and heartbeat > 0 else None
        if seconds is not None:
            self.silence_seconds = seconds * self.timeouts.heartbeats
        return Connected(_text(fields, "connection_id") or None, head, seconds)


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


@attrs.frozen
class Request:
    """What every connection of a subscription asks for."""

    endpoint: ServerEndpoint
    query: tuple[tuple[str, str], ...]  # topics, patterns, options; without the cursor
    path: str = "events"  # of the stream; only over SSE there are others
