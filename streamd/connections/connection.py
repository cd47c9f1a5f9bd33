"""A connection: one client over one transport, from its admission to its release.

It has the client's identity, its send queue, the counters and health that operators see, and the means to
end it from outside: with a ``closing`` frame, or at once.

Theory of operation. The registry makes and admits a connection. The transport runs one loop that writes
to it; all other parts end it by stopping that loop::

              close(reason)
     OPEN -----------------------> CLOSING        the loop stops; the `closing` frame is the last
      |                               |
      '-------------------------------+---> DISCONNECTED        nothing more is written
         mark_disconnected(), abort()

     RELEASED: from every state, when the transport leaves the ``with`` block; final.

=====================  =====================================  ========================================
event                  caused by                              effect
=====================  =====================================  ========================================
``close``              the registry (replaced, shutdown), a   ``closing`` is set; the loop stops after
                       program, the sweeper (lifetime), the   the frame that is being written, and the
                       subscription (overflow), the loop      client is told why
                       itself (ended, error)
``mark_disconnected``  the server, when the client is gone    it leaves the hub, and nothing more is written;
                                                              the loop stops, in its turn among those of
                                                              other clients that leave
``abort``              the sweeper (stale), a shutdown that   the same, and its socket is closed
                       has run out of time
``__exit__``           the transport                          its slots are free
=====================  =====================================  ========================================

Coupling rules:

1. The first ``close`` holds. A later one has no effect; ``mark_disconnected`` and ``abort`` always do.
2. A disconnected connection leaves the hub in the same step, before its socket is closed: the kernel
   reuses the number of a closed socket, and the fan-out must not write to another client's.
3. Independently of these states a connection is *stalled* while a write is under way. Its health depends
   on the time that takes (see ``health``), and the sweeper aborts it when it is stale.
4. Slots are taken by ``__enter__`` and given back by ``__exit__``, whatever happens in between.
5. The loop waits for the log and the socket inside ``stoppable``, a cancel scope, which takes 0.6 kB. A level
   stream waits for its send queue, for hours, outside of one: a frame stops that wait.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Protocol, Self

import attrs
import trio

from ..characters import cut
from ..events import Batch, Control, ControlName, EventId, Frame, UnloggedEvent
from ..events.control import format_time
from ..hub import DeliveryRecord, SendQueue, Subscription, Wire, do_nothing
from .health import Health, health_of
from .settings import ConnectionSettings

DISCONNECTED: Final = "disconnected"
"""The reason of a connection that the client, or the network, has ended."""
ABORTED: Final = "aborted"
"""The reason of a connection that a program has aborted."""
STALE: Final = "stale"
"""The reason of a connection that is aborted because the client takes no bytes."""
TOPICS_SHOWN: Final = 10  # of a connection, in lists and log lines
TOPIC_CHARS_SHOWN: Final = 200
_STOP: Final = Control(ControlName.CLOSING)  # wakes the loop; never sent


class CloseReason(StrEnum):
    """The server's reason to end a connection; sent to the client in ``closing``."""

    SHUTDOWN = "shutdown"
    LIFETIME = "lifetime"
    REPLACED = "replaced"  # the same client id connected again
    OVERFLOW = "overflow"  # its policy was `disconnect`, and its send queue was full
    CLOSED = "closed"  # a program asked for it
    ENDED = "ended"  # the source has nothing more to send
    ERROR = "error"  # the source failed
    EXPIRED = "expired"  # the client's token
    REVOKED = "revoked"  # the client's token
    FLOODED = "flooded"  # the client sent too many messages that are no events


@attrs.frozen
class Identity:
    """The client's user and network address, and the token that proved the user."""

    user: str = ""  # empty: anonymous
    address: str = ""  # of the client, without its port
    key: str = ""  # name of the key that verified the token; empty: no token
    token_id: str = ""  # empty: no token, or one without an id
    issued_at: float | None = None  # when the token was issued (s since 1970)
    expires_at: float | None = None  # when it expires (s since 1970); None: never, or no token


class Admission(Protocol):
    """Admits connections to slots; implemented by :class:`~streamd.connections.Registry`."""

    def enter(self, connection: "Connection") -> None:
        """Take a slot.

        Raises:
            StreamdError: no slot is free, or none for this client.
        """

    def leave(self, connection: "Connection") -> None:
        """Give the slot back."""


class GroupAccount(Admission, Protocol):
    """The limit and account of some connections; implemented by :class:`~streamd.connections.Group`."""

    def heartbeat_fields(self) -> Mapping[str, Any]:
        """Return the JSON fields that the group's heartbeats have besides the time."""


class FrameSource(Protocol):
    """The origin of a stream's frames."""

    async def receive(self) -> Sequence[Frame]:
        """Wait for the next frames; return none at the end of the source."""


def call_at_once(function: Callable[[], None]) -> None:
    """Call a function, where the server has no turns."""
    function()


# The time of opening once more, as the same object.
_OPENED: Final = attrs.Factory(lambda self: self.opened, takes_self=True)
_SENT: Final = attrs.Factory(lambda self: DeliveryRecord(self.opened), takes_self=True)


@attrs.define(eq=False)
class Connection:
    """One client, admitted for as long as the ``with`` block lasts.

    Made by :meth:`streamd.connections.Registry.admit`; the transport writes through it.
    """

    id: str
    client_id: str
    identity: Identity
    transport: str
    send_queue: SendQueue
    settings: ConnectionSettings
    admission: Admission
    lineage: str = ""  # replaces those of its client id with the same lineage; see `resume`
    group: GroupAccount | None = None  # its slot is taken as well
    opened_at: datetime = attrs.field(factory=lambda: datetime.now(UTC))
    opened: float = attrs.field(factory=trio.current_time)  # s on trio's clock, as all times below
    heartbeat_seconds: float = 0.0  # 0: the transport has no heartbeats
    heartbeat_always: bool = False  # also on a stream that is not quiet
    expires: float = float("inf")  # end of its lifetime
    token_expires: float = float("inf")  # end of its client's token
    is_told_of_expiry: bool = False  # of the token
    sent: DeliveryRecord = attrs.field(default=_SENT)
    last_heartbeat: float = attrs.field(default=_OPENED)
    stalled_since: float | None = None  # start of the write under way
    errors: int = 0
    closing: Control | None = None  # the frame that tells the client; set by the first close
    end_reason: str = ""  # set by the first event that ends it; see `reason`
    subscription: Subscription | None = None  # None: its source is not the hub
    abort_transport: Callable[[], None] = do_nothing  # closes the socket, where the server can
    call_in_turn: Callable[[Callable[[], None]], None] = (
        call_at_once  # stops the loop of a client that is gone
    )
    is_disconnected: bool = False  # nothing can be written any more
    _waits_for_queue: bool = False  # the loop does
    _scope: trio.CancelScope | None = None  # around another wait of the loop

    def __enter__(self) -> Self:
        self.admission.enter(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.admission.leave(self)
        # These refer back to this object. Without the cycle it is freed without the garbage collector.
        self.subscription = None
        self.abort_transport = do_nothing
        self.is_disconnected = True

    def stoppable(self) -> trio.CancelScope:
        """Return a scope for a wait of the loop, which is cancelled when the connection is to end."""
        self._scope = scope = trio.CancelScope()
        if not self.is_open:
            scope.cancel()
        return scope

    def _stop_loop(self) -> None:
        if self._waits_for_queue:
            self.send_queue.put_nowait(_STOP)  # accepted: nobody waits for a queue that is not empty
        elif self._scope is not None:
            self._scope.cancel()

    async def receive(self, source: FrameSource) -> Sequence[Frame]:
        """Wait for the next frames of a source; return none when it has ended, or the connection is to end.

        Cancelling it loses no frame of the log.
        """
        if self.closing is not None or self.is_disconnected:
            return ()
        frames: Sequence[Frame] = ()
        subscription = self.subscription
        if subscription is None or source is not subscription:
            with self.stoppable():
                frames = await source.receive()
        else:
            if subscription.level_cursor() is None:
                with self.stoppable():
                    frames = await subscription.receive_ready()
            if not frames and self.is_open:
                self._scope = None  # frees it
                self._waits_for_queue = True
                try:
                    frames = await self.send_queue.get()
                finally:
                    self._waits_for_queue = False
        return frames if self.is_open else ()

    def greet(self, wire: Wire, batch: Batch) -> bool:
        """Write the first frames and count them; return False, and write nothing, if the wire must wait.

        Args:
            wire: of the client.
            batch: a control frame, and perhaps others behind it.
        """
        written = wire.write_nowait(batch)
        if written and len(batch.frames) == 1:
            self.sent.add_control(written, self.opened)  # in the same step
        elif written:
            self.sent.add(batch, written, self.opened)
        return written > 0

    async def write(self, wire: Wire, batch: Batch) -> None:
        """Write frames and count them; the connection is stalled while it lasts.

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

    def send(self, message: Control | UnloggedEvent) -> bool:
        """Queue a message for this client alone; return False when its queue is full or it is not open."""
        return self.is_open and self.send_queue.put_nowait(message)

    def close(self, reason: str, *, retry_ms: int | None = None) -> None:
        """End the connection after the frame that is being written, and tell the client ``closing``.

        Queued frames are dropped; the client resumes from its last id. Later calls have no effect.

        Args:
            reason: a :class:`CloseReason`, or a program's own text.
            retry_ms: reconnection time for the client (ms).
        """
        if self.closing is None:
            self.closing = Control(ControlName.CLOSING, {"reason": str(reason)}, retry_ms)
            self.end_reason = self.end_reason or str(reason)
            self._stop_loop()

    def mark_disconnected(self) -> None:
        """Leave the hub and write nothing more, because the client is gone; the loop stops in its turn."""
        self.end_reason = self.end_reason or DISCONNECTED
        self.is_disconnected = True
        if self.subscription is not None:
            self.subscription.close()
        self.call_in_turn(self._stop_loop)

    def abort(self, reason: str = ABORTED) -> None:
        """End the connection at once, in the middle of a write, and close its socket.

        Args:
            reason: for the log; the client is not told.
        """
        self.end_reason = self.end_reason or reason
        self.mark_disconnected()
        self.abort_transport()

    @property
    def is_open(self) -> bool:
        """True while messages can be sent to it: until the first event that ends it."""
        return self.closing is None and not self.is_disconnected

    @property
    def has_client_id(self) -> bool:
        """True if the client, or its program, chose the client id."""
        return self.client_id != self.id

    @property
    def cursor(self) -> EventId | None:
        """The position in the log of its subscription; None without one."""
        return None if self.subscription is None else self.subscription.cursor

    @property
    def topics(self) -> list[str]:
        """The topics and patterns of its subscription, sorted, at most `TOPICS_SHOWN`."""
        if self.subscription is None:
            return []
        selectors = self.subscription.selectors
        texts = sorted([*selectors.topics, *[pattern.text for pattern in selectors.patterns]])
        return [text[:TOPIC_CHARS_SHOWN] for text in texts[:TOPICS_SHOWN]]

    @property
    def stalled_seconds(self) -> float:
        """Time since the write under way began; 0 when there is none."""
        return 0.0 if self.stalled_since is None else trio.current_time() - self.stalled_since

    @property
    def health(self) -> Health:
        return health_of(self.stalled_seconds, self.errors, self.settings)

    @property
    def log_level(self) -> int:
        """The level of the lines about its start and end: a poll is one of many of its client."""
        return logging.DEBUG if self.transport == "poll" else logging.INFO

    def identify(self) -> dict[str, Any]:
        """Return the fields that name the connection in log lines."""
        return {
            "connection": self.id,
            "client_id": self.client_id,
            "transport": self.transport,
            "topics": [cut(topic) for topic in self.topics],
            "user": self.identity.user,
            "address": self.identity.address,
        }

    def account(self) -> dict[str, Any]:
        """Return the totals of the connection for the log line of its end."""
        return {
            "seconds": round(trio.current_time() - self.opened, 3),
            "bytes": self.sent.bytes,
            "events": self.sent.types,
            "reason": self.end_reason or DISCONNECTED,
        }

    def status(self) -> dict[str, Any]:
        """Return the connection's state for programs and operators, as JSON values."""
        return {
            "id": self.id,
            "client_id": self.client_id,
            "user": self.identity.user,
            "address": self.identity.address,
            "transport": self.transport,
            "topics": self.topics,
            "opened_at": format_time(self.opened_at),
            "age_seconds": round(trio.current_time() - self.opened, 3),
            "health": self.health.value,
            "stalled_seconds": round(self.stalled_seconds, 3),
            "events_sent": self.sent.events,
            "bytes_sent": self.sent.bytes,
            "waiting": self.send_queue.waiting,
            "errors": self.errors,
        }
