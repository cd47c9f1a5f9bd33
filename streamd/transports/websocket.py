"""WebSocket (RFC 6455), for networks that buffer event streams: JSON text frames both ways."""

from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import structlog
import trio

from ..broker import Broker
from ..connections import CloseReason, Connection
from ..errors import Forbidden, InvalidField, StreamdError
from ..events import Control, EventId, messages
from ..events.bodies import EventBody
from ..hub import Subscription
from ..json import is_large
from ..limits import Allowance, LimitName, caller_key
from ..turns import request_turns
from .asgi import ASGIWebSocketWire, Scope, find_transport, lease_wire
from .stream import EventReader, Opening, Source, connected, no_opening, parse_selectors, run_stream

_log = structlog.get_logger(__name__)

Receive = Callable[[], Awaitable[str | bytes]]
PublishEvent = Callable[[EventBody, int], Awaitable[EventId]]
"""Publishes a client's event, in a message of a size (bytes), and returns its id; raises StreamdError."""

CLOSE_CODES: Final = {  # RFC 6455 section 7.4, and the IANA registry of close codes
    CloseReason.SHUTDOWN: 1012,  # service restart
    CloseReason.OVERFLOW: 1013,  # try again later
    CloseReason.ERROR: 1011,  # internal error
    CloseReason.REPLACED: 4001,  # private use: do not reconnect by yourself
    CloseReason.EXPIRED: 4003,  # private use: reconnect with another token
    CloseReason.REVOKED: 1008,  # policy violation
    CloseReason.FLOODED: 1008,
}
NORMAL: Final = 1000


async def serve_websocket(
    broker: Broker,
    connection: Connection,
    source: Source,
    scope: Scope,
    send_text: Callable[[str], Awaitable[None]],
    receive: Receive,
    publish: PublishEvent,
    *,
    subscription: Subscription | None = None,
    reader: EventReader | None = None,
    opening: Opening = no_opening,
) -> int:
    """Stream over an accepted socket, follow the client's messages, and return the close code.

    The stream begins with ``connected``, followed by ``opening``. Cancelled when the client leaves or the
    connection is aborted.

    Args:
        broker: the parts every stream needs.
        connection: the admitted client.
        source: the origin of the frames.
        scope: of the socket; streamd's own server offers a direct wire in it.
        send_text: sends one text message.
        receive: waits for the client's next message.
        publish: publishes the client's events, with all checks.
        subscription: changed by the client's messages; None for a stream whose topics are fixed.
        reader: decides what the client may read, and subscribe to; None: everything.
        opening: makes the first frames after ``connected``.
    """
    listener = _MessageListener(broker, connection, subscription, receive, publish, reader)
    wire = lease_wire(find_transport(scope), connection, broker.hub.defer) or ASGIWebSocketWire(send_text)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.run)
            await run_stream(broker, connection, source, wire, connected(broker, connection), opening)
            nursery.cancel_scope.cancel()
    finally:
        wire.release()
    reason = connection.closing.data["reason"] if connection.closing else CloseReason.CLOSED
    return CLOSE_CODES.get(reason, NORMAL)


class _MessageListener:
    """Follows the client's messages on an open socket. Answers keep their order among the events.

    Messages that publish nothing, wrong ones included, have an allowance; past it the connection is closed.
    """

    def __init__(
        self,
        broker: Broker,
        connection: Connection,
        subscription: Subscription | None,
        receive: Receive,
        publish: PublishEvent,
        reader: EventReader | None,
    ) -> None:
        self._settings = broker.settings
        self._limits = broker.limits
        self._connection = connection
        self._subscription = subscription
        self._receive = receive
        self._publish = publish
        self._reader = reader
        self._allowance = Allowance()

    async def run(self) -> NoReturn:
        """Answer messages until cancelled."""
        while True:
            text = await self._receive()
            _log.debug("client_message", connection=self._connection.id, chars=len(text))
            message: messages.ClientMessage | None = None
            answer: Control | None = None
            try:
                if is_large(text):
                    message = await request_turns().run(messages.client_message_steps(text))
                else:
                    message = messages.decode_client_message(text)
            except StreamdError as problem:
                answer = messages.error(problem)
            if not isinstance(message, messages.Publish) and not self._allowance.spend():
                self._connection.close(CloseReason.FLOODED)
                await trio.sleep_forever()  # cancelled when the stream has told the client
            if message is not None:
                answer = await self._answer(message, text)
            if answer is not None:
                try:
                    # Waits while the send queue is full: a client that does not read is not listened to.
                    await self._connection.send_queue.put(answer)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    await trio.sleep_forever()  # the source has ended: what is queued is still sent

    async def _answer(self, message: messages.ClientMessage, text: str | bytes) -> Control | None:
        """Follow a message, and return the answer; None for one that has none."""
        try:
            return await self._follow(message, text)
        except StreamdError as problem:
            return messages.error(problem)

    async def _follow(self, message: messages.ClientMessage, text: str | bytes) -> Control | None:
        if isinstance(message, messages.Ping):
            return messages.pong(message)
        if isinstance(message, messages.Pong):
            return None
        if isinstance(message, messages.Publish):
            size = len(text.encode() if isinstance(text, str) else text)
            try:
                return messages.published(message, await self._publish(message, size))
            except StreamdError as problem:
                return messages.error(problem, message)
        identity = self._connection.identity
        taken = await self._limits.take(LimitName.SUBSCRIBE, caller_key(identity.user, identity.address))
        if taken is not None:
            taken.check()
        return await self._change(message)

    async def _change(self, message: messages.Subscribe | messages.Unsubscribe) -> Control:
        """Add or remove selectors, and return the answer ``subscribed``."""
        subscription = self._subscription
        if subscription is None:
            raise Forbidden("the topics of this stream are fixed: open /events to choose topics")
        if not message.topics and not message.patterns:
            raise InvalidField("name topics, patterns or both", field="topics")
        before = subscription.selectors
        change = parse_selectors(message.topics, message.patterns, self._settings)
        if isinstance(message, messages.Subscribe):
            if self._reader is not None:
                await self._reader.admit(change)
                before = subscription.selectors
            after = before.union(change)
            if len(after.topics) + len(after.patterns) > self._settings.connections.max_topics:
                raise InvalidField(
                    f"a socket may have at most {self._settings.connections.max_topics} topics and patterns",
                    field="topics",
                )
        else:
            after = before.without(change)
        cursor: EventId = subscription.change(after)
        return messages.subscribed(after, cursor)
