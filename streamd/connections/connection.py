"""One client over one transport: who it is, what it got, and how it ends."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol, Self

import attrs
import trio

from ..config import ConnectionSettings
from ..events import Batch, Control, ControlName, EventId
from ..events.control import format_time
from ..hub import SendQueue, Sent, Wire
from .health import Health, health_of


class Closing(StrEnum):
    """Why the server ends a connection; clients read it in ``closing``."""

    SHUTDOWN = "shutdown"
    LIFETIME = "lifetime"
    REPLACED = "replaced"  # another connection came with the same client id
    OVERFLOW = "overflow"  # its policy was `disconnect`, and its outbox was full
    CLOSED = "closed"  # a program asked for it
    ENDED = "ended"  # there is nothing more to come
    ERROR = "error"  # what feeds the stream failed


@attrs.frozen
class Identity:
    """Who is at the other end."""

    user: str = ""  # empty: nobody in particular
    address: str = ""  # of the peer, without its port


class Places(Protocol):
    """Where connections take their place; :class:`~streamd.connections.Registry` is it."""

    def enter(self, connection: "Connection") -> None:
        """Take a place, or raise why there is none."""

    def leave(self, connection: "Connection") -> None:
        """Give the place back."""


class Shared(Places, Protocol):
    """Places that some connections share; :class:`~streamd.connections.Group` is it."""

    def heartbeat_fields(self) -> Mapping[str, Any]:
        """What the heartbeats of all of them say beside the time, as JSON fields."""


def _do_nothing() -> None:
    """What a connection calls that nothing was set for."""


@attrs.define(eq=False)
class Connection:
    """One client, admitted for as long as the block ``with`` it lasts.

    The registry makes it; the transport writes through it and ends it.
    """

    id: str
    client_id: str
    identity: Identity
    transport: str
    outbox: SendQueue
    settings: ConnectionSettings
    places: Places
    group: Shared | None = None  # whose places it takes beside
    opened_at: datetime = attrs.field(factory=lambda: datetime.now(UTC))
    opened: float = attrs.field(factory=trio.current_time)  # s, trio's clock, as are all below
    heartbeat_seconds: float = 0.0  # 0: the transport has no heartbeats
    heartbeat_always: bool = False  # also on a stream that is not quiet
    expires: float = float("inf")
    sent: Sent = attrs.field(factory=lambda: Sent(trio.current_time()))  # also by the fan-out
    last_heartbeat: float = attrs.field(factory=trio.current_time)
    stalled_since: float | None = None  # when the write that is under way began
    errors: int = 0
    closing: Control | None = None  # set once, by whoever ends the connection first
    level_cursor: Callable[[], EventId | None] = _do_nothing  # set by what feeds the stream
    leave_hub: Callable[[], None] = _do_nothing  # set by what feeds the stream
    abort_transport: Callable[[], None] = _do_nothing  # closes the socket, where the server can
    is_lost: bool = False  # nothing can be written any more
    pumping: trio.CancelScope = attrs.field(factory=trio.CancelScope)  # of the loop that writes

    def __enter__(self) -> Self:
        self.places.enter(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.places.leave(self)
        # They refer to what refers to this object; apart, all are freed without the garbage collector.
        self.level_cursor = self.leave_hub = self.abort_transport = _do_nothing

    async def write(self, wire: Wire, batch: Batch) -> None:
        """Write frames and count them; marks the connection stalled for as long as it takes.

        Raises:
            OSError, trio.BrokenResourceError, trio.ClosedResourceError: the peer is gone; counted.
        """
        self.stalled_since = trio.current_time()
        try:
            written = await wire.write(batch)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            self.errors += 1
            raise
        finally:
            self.stalled_since = None
        self.sent.add(batch, written, trio.current_time())

    def send(self, frame: Control) -> bool:
        """Send a message to this client alone; False when its outbox is full or it is leaving."""
        return self.closing is None and self.outbox.put_nowait(frame)

    def close(self, reason: str, *, retry_ms: int | None = None) -> None:
        """End the connection after the frame that is being written: the client is told ``closing``.

        The first reason holds. What waits in the outbox is dropped; the client resumes from its
        last id.
        """
        if self.closing is None:
            self.closing = Control(ControlName.CLOSING, {"reason": str(reason)}, retry_ms)
            self.pumping.cancel()

    def lose(self) -> None:
        """The client is gone: it leaves the live set at once, and nothing more is written."""
        self.is_lost = True
        self.leave_hub()
        self.pumping.cancel()

    def abort(self) -> None:
        """End the connection at once, whatever it is doing; nothing more is written."""
        self.lose()
        self.abort_transport()

    @property
    def stalled_seconds(self) -> float:
        """For how long the present write has made no progress; 0 when none is under way."""
        return 0.0 if self.stalled_since is None else trio.current_time() - self.stalled_since

    @property
    def health(self) -> Health:
        return health_of(self.stalled_seconds, self.errors, self.settings)

    def status(self) -> dict[str, Any]:
        """What programs and operators see of it, as JSON values."""
        return {
            "id": self.id,
            "client_id": self.client_id,
            "user": self.identity.user,
            "address": self.identity.address,
            "transport": self.transport,
            "opened_at": format_time(self.opened_at),
            "age_seconds": round(trio.current_time() - self.opened, 3),
            "health": self.health.value,
            "stalled_seconds": round(self.stalled_seconds, 3),
            "events_sent": self.sent.events,
            "bytes_sent": self.sent.bytes,
            "waiting": self.outbox.waiting,
            "errors": self.errors,
        }
