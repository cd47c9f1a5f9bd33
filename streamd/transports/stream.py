"""What a client asks for, its place, and the one loop that serves every stream."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

import attrs
import structlog
import trio

from ..broker import Broker
from ..config import Settings
from ..connections import Closing, Connection, Group, Identity
from ..errors import RequestError
from ..events import Batch, Control, ControlName, EventId, Frame, Selectors
from ..hub import LatestSendQueue, Overflow, SendQueue, Sent, Subscription, Wire, record_delivery

_log = structlog.get_logger(__name__)
PEER_GONE = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


@attrs.frozen(kw_only=True)
class StreamRequest:
    """What one client asks for, checked."""

    selectors: Selectors
    after: EventId | None = None  # None: only what comes from now on
    overflow: Overflow = Overflow.CATCH_UP
    client_id: str | None = None
    heartbeat_seconds: float | None = None  # None: as configured; 0: none
    heartbeat_always: bool = False
    identity: Identity = Identity()
    group: Group | None = None  # whose places and account it shares


def parse_selectors(topics: Iterable[str], patterns: Iterable[str], settings: Settings) -> Selectors:
    """Topics and patterns within the bounds of the settings.

    Raises:
        InvalidField: one of them cannot be one, or there are too many.
    """
    return Selectors.parse(
        topics,
        patterns,
        max_selectors=settings.connections.max_topics,
        max_topic_bytes=settings.events.max_topic_bytes,
        max_pattern_bytes=settings.connections.max_pattern_bytes,
    )


Opening = Callable[[], Sequence[Frame]]
"""What a stream begins with, made once the client has its place in the log."""


def no_opening() -> Sequence[Frame]:
    """A stream begins with what its source yields."""
    return ()


class Source(Protocol):
    """Where a stream's frames come from."""

    async def receive(self) -> Sequence[Frame]:
        """Wait for the next frames; empty when there is nothing more to come."""

    def write_through(self, wire: Wire | None, sent: Sent | None = None) -> None:
        """Where the source may write by itself, and the account it keeps then; None: nowhere."""


class open_stream:  # noqa: N801 - used as a function is
    """A place and a subscription, for as long as the block ``with`` it lasts.

    Raises:
        StreamdError: on entering, the client was refused, see :meth:`streamd.connections.Registry.admit`.
    """

    # A generator would do the same, and cost half a kilobyte for as long as the stream lasts.
    __slots__ = ("_connection", "_merged", "_subscription")

    def __init__(self, broker: Broker, transport: str, request: StreamRequest) -> None:
        settings = broker.settings.hub
        make_outbox = LatestSendQueue if request.overflow is Overflow.LATEST else SendQueue
        outbox = make_outbox(settings.channel_capacity, settings.channel_bytes)
        self._merged = broker.metrics.merged
        self._connection = connection = admit(broker, transport, request, outbox)
        self._subscription = subscription = broker.hub.subscribe(
            request.selectors,
            request.after,
            outbox,
            overflow=request.overflow,
            on_disconnect=partial(connection.close, Closing.OVERFLOW),
        )
        connection.level_cursor = subscription.level_cursor
        connection.leave_hub = subscription.close

    def __enter__(self) -> tuple[Connection, Subscription]:
        self._connection.__enter__()
        return self._connection, self._subscription.__enter__()

    def __exit__(self, *_: object) -> None:
        self._subscription.close()
        self._connection.__exit__()
        self._merged.inc(self._subscription.merged)


def admit(broker: Broker, transport: str, request: StreamRequest, outbox: SendQueue) -> Connection:
    """A place without a subscription, for as long as the block ``with`` it lasts."""
    heartbeat = request.heartbeat_seconds
    if heartbeat is None:
        heartbeat = broker.settings.connections.heartbeat_seconds
    return broker.connections.admit(
        transport,
        request.identity,
        outbox,
        client_id=request.client_id,
        heartbeat_seconds=heartbeat,
        heartbeat_always=request.heartbeat_always,
        group=request.group,
    )


def connected(broker: Broker, connection: Connection) -> Control:
    """The first frame of a stream. Without a cursor of its own the stream begins after ``head``."""
    return Control(
        ControlName.CONNECTED,
        {
            "connection_id": connection.id,
            "client_id": connection.client_id,
            "head": broker.log.head,
            "heartbeat_seconds": connection.heartbeat_seconds,
        },
        broker.settings.connections.retry_ms,
    )


async def run_stream(
    broker: Broker,
    connection: Connection,
    source: Source,
    wire: Wire,
    greeting: Frame,
    opening: Opening = no_opening,
) -> None:
    """Write ``greeting`` and ``opening``, then what the source yields, until it or the connection ends.

    The opening goes out in one write with the greeting, before the source may write by itself.

    Every end but an abort passes here: the client is told ``closing`` when the server ends the
    stream. An exception of the source ends this stream only, and is logged.
    """
    try:
        with connection.pumping:
            await connection.write(wire, Batch([greeting, *opening()]))
            del greeting, opening  # the stream may last for long
            source.write_through(wire, connection.sent)
            while frames := await source.receive():
                batch = Batch(frames)
                await connection.write(wire, batch)
                record_delivery(broker.metrics, batch)
        if connection.closing is None and not connection.is_lost:
            connection.close(Closing.ENDED)
    except PEER_GONE:
        return
    except RequestError as error:
        _log.info("stream refused", connection=connection.id, code=error.code, detail=error.detail)
        connection.close(Closing.ERROR)
    except Exception:  # noqa: BLE001 - one stream's failure must not reach the others
        _log.exception("stream failed", connection=connection.id, transport=connection.transport)
        connection.errors += 1
        connection.close(Closing.ERROR)
    finally:
        source.write_through(None)
    await _say_goodbye(broker, connection, wire)


async def _say_goodbye(broker: Broker, connection: Connection, wire: Wire) -> None:
    if connection.closing is None or connection.is_lost:
        return
    with trio.move_on_after(broker.settings.server.write_timeout_seconds):
        try:
            await connection.write(wire, Batch([connection.closing]))
        except PEER_GONE:
            return
