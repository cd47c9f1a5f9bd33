"""A stream: one client's checked request, its slot and subscription, and the loop that serves it.

Every transport does the same three things::

    StreamRequest     checked: topics and patterns, cursor, overflow policy, identity
    open_stream()     takes a slot in the registry, and subscribes to the hub with the slot's send queue
    run_stream()      writes `connected`, then the source's frames, then `closing`

While a client is level, its frames do not come through this loop: the fan-out writes them straight to
the wire (:meth:`~streamd.hub.Subscription.write_through`). The loop takes over for the frames that the
wire could not take, and for pages of the log.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, Protocol

import attrs
import structlog
import trio

from ..broker import Broker, BrokerSettings
from ..connections import CloseReason, Connection, FrameSource, Group, Identity
from ..errors import RequestError, Unavailable
from ..events import Batch, Control, ControlName, EventId, Frame, Selectors
from ..hub import (
    DeliveryRecord,
    LatestSendQueue,
    LimitedSubscriber,
    Overflow,
    SendQueue,
    Subscription,
    Wire,
    do_nothing,
    observe_delivery,
)

_log = structlog.get_logger(__name__)
_stdlib_log = logging.getLogger(__name__)
CLOSING_TIMEOUT_SECONDS: Final = 60
"""Time for the closing notice; a shorter write timeout of the server aborts the connection before that."""
PEER_GONE = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


@attrs.frozen(kw_only=True)
class StreamRequest:
    """One client's request for a stream, checked."""

    selectors: Selectors
    after: EventId | None = None  # the cursor to resume from; None: new events only
    overflow: Overflow = Overflow.CATCH_UP
    include_topics: bool = False  # over SSE; the other transports always carry the topics
    client_id: str | None = None
    resume_secret: str | None = attrs.field(default=None, repr=False)  # of the client's last connection
    heartbeat_seconds: float | None = None  # None: as configured; 0: none
    heartbeat_always: bool = False
    identity: Identity = Identity()
    group: Group | None = None  # its slot is taken as well, and its account is kept
    reader: "EventReader | None" = None  # None: it may read everything


class EventReader(LimitedSubscriber, Protocol):
    """A client whose rights are limited."""

    async def admit(self, selectors: Selectors) -> None:
        """Check the selectors with which the client changes its subscription.

        Raises:
            StreamdError: the client may not subscribe to them.
        """


def parse_selectors(topics: Iterable[str], patterns: Iterable[str], settings: BrokerSettings) -> Selectors:
    """Check topics and patterns against the limits of the settings.

    Raises:
        InvalidField: one of them is invalid, or there are too many.
    """
    return Selectors.parse(
        topics,
        patterns,
        max_selectors=settings.connections.max_topics,
        max_topic_bytes=settings.events.max_topic_bytes,
        max_pattern_bytes=settings.connections.max_pattern_bytes,
    )


Opening = Callable[[], Sequence[Frame]]
"""Makes the first frames of a stream, once its subscription has a position in the log."""


def no_opening() -> Sequence[Frame]:
    """Return no frames: the stream begins with those of its source."""
    return ()


class Source(FrameSource, Protocol):
    """The origin of a stream's frames, which may write them by itself."""

    def write_through(self, wire: Wire | None, sent: DeliveryRecord | None = None) -> None:
        """Let the source write by itself.

        Args:
            wire: to write to; None to stop.
            sent: the record in which such writes are entered.
        """


def open_stream(broker: Broker, transport: str, request: StreamRequest) -> "_OpenStream":
    """Take a slot and subscribe, for as long as the ``with`` block lasts.

    Args:
        broker: the parts every stream needs.
        transport: its name, for statistics: ``sse``, ``websocket`` or ``poll``.
        request: the checked request.

    Raises:
        InvalidField: the client id is invalid.
        StreamdError: on entering, the client was rejected, see :meth:`streamd.connections.Registry.admit`.
    """
    return _OpenStream(broker, transport, request)


class _OpenStream:
    """A connection and its subscription, entered and left together."""

    # A generator-based context manager would cost half a kilobyte for as long as the stream lasts.
    __slots__ = ("_connection", "_merged", "_subscription")

    def __init__(self, broker: Broker, transport: str, request: StreamRequest) -> None:
        settings = broker.settings.hub
        make_queue = LatestSendQueue if request.overflow is Overflow.LATEST else SendQueue
        queue = make_queue(settings.send_queue_events, settings.send_queue_bytes)
        self._merged = broker.metrics.merged
        self._connection = connection = admit(broker, transport, request, queue)
        disconnects = request.overflow is Overflow.DISCONNECT
        self._subscription = subscription = broker.hub.subscribe(
            request.selectors,
            request.after,
            queue,
            overflow=request.overflow,
            on_disconnect=partial(connection.close, CloseReason.OVERFLOW) if disconnects else do_nothing,
            reader=request.reader,
        )
        connection.subscription = subscription

    def __enter__(self) -> tuple[Connection, Subscription]:
        self._connection.__enter__()
        return self._connection, self._subscription.__enter__()

    def __exit__(self, *_: object) -> None:
        self._subscription.close()
        self._connection.__exit__()
        if merged := self._subscription.merged:
            self._merged.inc(merged)


def admit(broker: Broker, transport: str, request: StreamRequest, queue: SendQueue) -> Connection:
    """Create a connection without a subscription; it holds a slot while its ``with`` block lasts."""
    heartbeat = request.heartbeat_seconds
    if heartbeat is None:
        heartbeat = broker.settings.connections.heartbeat_seconds
    return broker.connections.admit(
        transport,
        request.identity,
        queue,
        client_id=request.client_id,
        resume_secret=request.resume_secret,
        heartbeat_seconds=heartbeat,
        heartbeat_always=request.heartbeat_always,
        group=request.group,
    )


def connected(broker: Broker, connection: Connection) -> Control:
    """Build the first frame of a stream. A client without a cursor gets the events after its ``head``."""
    fields = {
        "connection_id": connection.id,
        "client_id": connection.client_id,
        "head": broker.log.head,
        "heartbeat_seconds": connection.heartbeat_seconds,
    }
    secret = broker.connections.resume_secret(connection)
    if secret is not None:
        fields["resume_secret"] = secret
    return Control(ControlName.CONNECTED, fields, broker.settings.connections.retry_ms)


async def run_stream(
    broker: Broker,
    connection: Connection,
    source: Source,
    wire: Wire,
    greeting: Frame,
    opening: Opening = no_opening,
) -> None:
    """Write the greeting and the opening, then the source's frames, until it or the connection ends.

    Greeting and opening leave in one write, before the source may write by itself. When the server ends
    the stream, the client is told ``closing``. An error of the source ends this stream only, and is
    logged. Cancelled, it leaves the stream without ``closing``.
    """
    try:
        if _stdlib_log.isEnabledFor(logging.DEBUG):  # a tenth of the time of the line that is dropped
            _log.debug("stream_started", connection=connection.id, after=connection.cursor)
        batch = Batch([greeting, *opening()])
        if not connection.greet(wire, batch):  # nearly always possible: nothing was sent before
            with connection.stoppable():
                await connection.write(wire, batch)
        del greeting, opening, batch  # the stream may last for hours: do not keep them in memory
        source.write_through(wire, connection.sent)
        while frames := await connection.receive(source):
            batch = Batch(frames)
            with connection.stoppable():
                await connection.write(wire, batch)
                observe_delivery(broker.metrics, batch)
            del frames, batch  # the next may come in hours
        if connection.is_open:
            connection.close(CloseReason.ENDED)
    except PEER_GONE:
        return
    except RequestError as error:
        _log.info("stream_rejected", connection=connection.id, code=error.code, detail=error.detail)
        connection.close(CloseReason.ERROR)
    except Unavailable as error:  # the log's server is away: the client reconnects
        _log.warning("stream_interrupted", connection=connection.id, detail=error.detail)
        connection.errors += 1
        connection.close(CloseReason.ERROR)
    except Exception:  # noqa: BLE001 - one stream's failure must not reach the others
        _log.exception("stream_failed", connection=connection.id, transport=connection.transport)
        connection.errors += 1
        connection.close(CloseReason.ERROR)
    finally:
        source.write_through(None)
    await _send_closing(connection, wire)


async def _send_closing(connection: Connection, wire: Wire) -> None:
    """Write the ``closing`` frame, if there is one and the client is still there."""
    if connection.closing is None or connection.is_disconnected:
        return
    _log.debug("closing_sent", connection=connection.id, reason=connection.end_reason)
    with trio.move_on_after(CLOSING_TIMEOUT_SECONDS):
        try:
            await connection.write(wire, Batch([connection.closing]))
        except PEER_GONE:
            return
