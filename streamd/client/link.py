"""The state of a subscription over all its connections: the cursor, the timeouts, the progress."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import attrs
import trio

from ..events import EventId
from ..events.control import ControlName, MessageName
from .endpoint import ServerEndpoint, Timeouts
from .errors import RequestFailed
from .items import ClosingNotice, Connected, CursorMoved, Gap, Item, ReceivedEvent
from .problem import problem_from_fields

EVENT_CHARS_MAX: Final = 16 * 1024 * 1024
"""The maximum length of an event: 16 times a server's default limit, for escapes in JSON."""


class StreamOver(Exception):
    """The stream has ended for good (204): the client must not reconnect."""


@attrs.frozen
class ControlFrame:
    """A control frame of any transport."""

    name: str
    fields: Mapping[str, Any]


Frame = ReceivedEvent | CursorMoved | ControlFrame


@attrs.define(eq=False)
class Link:
    """The state of one subscription, shared by its reconnect loop and the current transport.

    A transport reads ``cursor`` when it connects, passes every frame to :meth:`take`, and gives the
    connection up after ``silence_seconds`` without a byte.
    """

    timeouts: Timeouts
    send: Callable[[Item], Awaitable[None]]  # to the iterator; waits while its channel is full
    cursor: EventId | None  # the last id considered; None until the first `connected` frame
    # Whether the stream may begin with a snapshot. Its id lies before the head, and the next event may have
    # the same id. Such a server sends everything once, so no id is dropped.
    snapshots: bool = False
    silence_seconds: float = attrs.field(
        init=False, default=attrs.Factory(lambda self: self.timeouts.silence_seconds, takes_self=True)
    )
    retry_seconds: float | None = None  # the server's reconnection time (`retry:`)
    progress: bool = False  # whether this connection brought more than `connected`
    replaced: bool = False  # whether another connection of this client has replaced ours
    resume_secret: str | None = attrs.field(default=None, repr=False)  # replaces our own last connection

    def begin(self) -> None:
        """Prepare for a new connection."""
        self.silence_seconds = self.timeouts.silence_seconds
        self.progress = False

    def take_retry(self, retry_ms: int | None) -> None:
        """Take over the server's reconnection time, if there is one."""
        if retry_ms is not None:
            self.retry_seconds = retry_ms / 1000

    @property
    def resume_headers(self) -> dict[str, str]:
        """The header by which the next connection replaces the last one, once there was one."""
        return {} if self.resume_secret is None else {"Resume-Secret": self.resume_secret}

    async def take(self, frame: Frame) -> None:
        """Send a frame to the iterator, unless it is a repeat.

        Cancelling may lose the frame; the subscription has ended by then.

        Raises:
            RequestFailed: the server rejects the subscription itself.
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
                # Another log may begin at smaller ids, so its cursor replaces ours.
                gap = Gap(_text(frame.fields, "requested"), _text(frame.fields, "resumed_after"))
                self.cursor = EventId(gap.resumed_after or gap.requested)
                self.progress = True
                return gap
            case ControlFrame(name=ControlName.CLOSING):
                reason = _text(frame.fields, "reason") or "closed"
                self.replaced = reason == "replaced"
                return ClosingNotice(reason)
            case ControlFrame(name=MessageName.ERROR):
                # The client sends nothing on an open stream, so the error is about the subscription.
                raise RequestFailed(problem_from_fields(frame.fields, status=400))
            case _:
                self.progress = True
                return None

    def _advance(self, event_id: str) -> bool:
        """Move the cursor; return False for an id at or behind it."""
        if not event_id:
            return False
        if self.cursor is not None and event_id <= self.cursor and not self.snapshots:
            return False
        self.cursor = EventId(event_id)
        return True

    def _connected(self, fields: Mapping[str, Any]) -> Connected:
        head = _text(fields, "head") or None
        if self.cursor is None and head is not None and not self.snapshots:
            # From here on no event may be missed, even if none has arrived yet.
            self.cursor = EventId(head)
        self.resume_secret = _text(fields, "resume_secret") or self.resume_secret
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
    """The request that every connection of a subscription makes."""

    endpoint: ServerEndpoint
    query: tuple[tuple[str, str], ...]  # topics, patterns and options, without the cursor
    path: str = "events"  # of the stream; others than /events exist over SSE only
