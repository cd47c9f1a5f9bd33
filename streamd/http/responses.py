"""The response with which a view streams: ``return EventStream("orders/7")``."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from contextvars import copy_context
from functools import partial
from typing import Any

import attrs
import trio
from quart.utils import encode_headers
from quart_trio.asgi import TrioASGIHTTPConnection
from quart_trio.wrappers import TrioResponse
from werkzeug.datastructures import Headers

from ..connections import Connection, Group, Identity
from ..errors import NotFound, StreamdError
from ..events import Selectors, parse_event_id
from ..hub import Overflow, SendQueue, Subscription
from ..transports import StreamRequest, parse_selectors
from ..transports.asgi import Receive, Scope, Send, find_transport, send_answer
from ..transports.generated import FINISHED_ID, GeneratedSource
from ..transports.longpoll import LogPollSource, PollSource, poll
from ..transports.sse import EVENT_STREAM, HEADERS, serve_sse
from ..transports.stream import Opening, Source, admit, no_opening, open_stream
from .callers import known_caller
from .current import current_runtime, request_or_upgrade
from .push_back import PushBackBody
from .rejections import send_rejection
from .requests import find_cursor, identity_of, parse_on_limit, parse_resume_secret
from .sockets import serve_socket
from .stream_cursor import cursor_parameter, stream_cursor
from .websockets import with_address


def _identity(user: str) -> Identity:
    """Return the identity of the current request's caller, with the user that a program names instead."""
    asked = request_or_upgrade()
    identity = identity_of(known_caller(asked.scope), asked.remote_addr)
    return attrs.evolve(identity, user=user) if user else identity


def _do_nothing(_status: int) -> None:
    """Stand in for a callback that is not set."""


class EventStream(TrioResponse):
    """A Server-Sent Events response. Return it from a view; it serves itself on raw ASGI.

    A view that :func:`~streamd.http.stream_route` adds serves its stream over WebSocket and by long polling,
    too.

    Args:
        source: a topic, several topics, or :class:`~streamd.events.Selectors`; or an async generator that
            yields text, bytes, JSON values or :class:`~streamd.events.UnloggedEvent`, for this client only.
        patterns: patterns to subscribe to in addition to the topics.
        after: the cursor of a client that sends none: an event id, ``earliest``, or None to receive only
            new events. A client that sends ``Last-Event-ID`` resumes there.
        overflow: the policy for a slow consumer, see :class:`~streamd.hub.Overflow`.
        client_id: a name for the client, by which programs address its newest connection. A connection
            replaces the one with the same client id of the same user, or of the anonymous client that
            brings its resume secret.
        user: the user's name, for programs that address clients.
        heartbeat_seconds: interval of heartbeats on a quiet stream (s); None for
            ``connections.heartbeat_seconds``.
        heartbeat_always: True to send heartbeats on a busy stream too.
        group: connections that share limits, a lifetime and statistics with this one.
        opening: builds the frames to send right after ``connected`` and before the source, such as an
            :class:`~streamd.events.UnloggedEvent` with the current state. It is called when the
            subscription has its position in the log, so no event is lost in between. Frames without an
            id do not move the client's cursor. A poll is answered with them at once, unless it brings a
            cursor; then it gets them after a gap only.
        content_type: the ``Content-Type``; ``text/event-stream`` alone for a protocol whose clients compare
            the whole value.

    A client that gets no slot is answered 503 or 429 with ``Retry-After``, or as ``on_limit`` of its request
    says, see :mod:`.rejections`. The stream ends with its generator, also if that raised; a browser that then
    reconnects by itself gets 204, which stops it (WHATWG HTML section 9.2.3), and does not run the generator
    again.

    Attributes:
        on_rejected: called with the status of the answer if the client is rejected.

    Raises:
        InvalidField: a topic, pattern, cursor or ``on_limit`` is invalid; in a view this becomes a 400.
    """

    def __init__(
        self,
        source: str | Iterable[str] | Selectors | StreamRequest | AsyncIterator[Any] = (),
        *,
        patterns: Iterable[str] = (),
        after: str | None = None,
        overflow: Overflow | str = Overflow.CATCH_UP,
        client_id: str | None = None,
        user: str = "",
        heartbeat_seconds: float | None = None,
        heartbeat_always: bool = False,
        group: Group | None = None,
        opening: Opening = no_opening,
        content_type: str = EVENT_STREAM,
    ) -> None:
        super().__init__(b"", headers={**HEADERS, "Content-Type": content_type})
        del self.headers["Content-Length"]  # Quart set that of the empty placeholder body
        self.timeout = None
        self.on_rejected: Callable[[int], None] = _do_nothing
        self._broker = current_runtime().broker
        self._retries = parse_on_limit(request_or_upgrade(), self._broker)
        # The tasks of the request end before it is called, see EventStreamHTTPConnection.
        self._opening = opening if opening is no_opening else partial(copy_context().run, opening)
        self._generator: AsyncIterator[Any] | None = None
        self._has_cursor = False  # of the client, which has received the opening
        if isinstance(source, StreamRequest):
            self._request = source
            self._has_cursor = source.after is not None
            return
        selectors, cursor = Selectors(), None
        if isinstance(source, AsyncIterator):
            self._generator = source
            self.status_code = 204 if _is_finished() else 200
        else:
            if not isinstance(source, Selectors):
                topics = [source] if isinstance(source, str) else list(source)
                source = parse_selectors(topics, patterns, self._broker.settings)
            selectors = source
            cursor = stream_cursor()
            self._has_cursor = cursor is not None
            if cursor is None and after is not None:
                cursor = parse_event_id(after, field="after")
        self._request = StreamRequest(
            selectors=selectors,
            after=cursor,
            overflow=Overflow(overflow),
            client_id=client_id,
            resume_secret=parse_resume_secret(request_or_upgrade()),
            heartbeat_seconds=heartbeat_seconds,
            heartbeat_always=heartbeat_always,
            identity=_identity(user),
            group=group,
        )

    # --- the three transports: all of them begin with the current state ----------------------------

    async def serve(self, scope: Scope, send: Send) -> None:
        """Send the response: the stream, or a rejection if there is no slot."""
        if self.status_code != 200:
            await send_answer(send, self.status_code, encode_headers(self.headers))
            return
        try:
            if self._generator is None:
                await self._serve_log(scope, send)
            else:
                await self._serve_generator(self._generator, scope, send)
        except StreamdError as rejection:  # raised before the head is sent; later errors end in the stream
            retries = self._retries and scope["method"] == "GET"
            fields = list(self.headers.items())
            self.on_rejected(
                await send_rejection(send, rejection, fields, self._broker.settings, retries=retries)
            )

    def outlasts_request(self, scope: Scope) -> bool:
        """Return True if :meth:`serve` needs nothing of its request but the scope.

        It needs a trio task that waits for the client's end where no transport reports it, which is so for
        other servers and methods. A generator runs with the context variables of its view.
        """
        return (
            self._generator is None
            and self.status_code == 200
            and scope["method"] in ("GET", "HEAD")
            and find_transport(scope) is not None
        )

    async def serve_websocket(self) -> None:
        """Accept the current WebSocket, stream as :meth:`serve` does, and close it.

        Raises:
            StreamdError: the client is rejected, before the handshake.
        """
        broker = self._broker
        if self._generator is not None:
            with self._admit("websocket") as connection:
                async with self._running(self._generator, connection) as source:
                    await serve_socket(broker, connection, source, opening=self._opening)
            return
        with open_stream(broker, "websocket", self._request) as (connection, subscription):
            with self._open_source(connection, subscription) as source:
                await serve_socket(broker, connection, source, opening=self._opening)

    def demand_polls(self) -> None:
        """Check that the stream has polls.

        Raises:
            NotFound: it is generated: no log keeps the events between two polls.
        """
        if self._generator is not None:
            raise NotFound("this stream has no polls, because its events are not kept")

    async def answer_poll(self, wait_seconds: float, scope: Scope) -> bytes:
        """Return the JSON of one answer, see :func:`~streamd.transports.longpoll.poll`.

        Raises:
            NotFound: the stream has no polls.
            StreamdError: the client is rejected.
        """
        self.demand_polls()
        return await poll(self._broker, self._request, wait_seconds, scope, self._open_poll)

    def _open_source(
        self, connection: Connection, subscription: Subscription
    ) -> AbstractContextManager[Source]:
        """Open the source of the frames, for as long as its ``with`` block lasts."""
        return nullcontext(subscription)

    def _open_poll(
        self, connection: Connection, subscription: Subscription
    ) -> AbstractContextManager[PollSource]:
        """Open the source of a poll, for as long as its ``with`` block lasts."""
        return nullcontext(LogPollSource(self._opening, self._has_cursor))

    async def _serve_log(self, scope: Scope, send: Send) -> None:
        with open_stream(self._broker, "sse", self._request) as (connection, subscription):
            with self._open_source(connection, subscription) as source:
                serving = serve_sse(
                    self._broker,
                    connection,
                    source,
                    scope,
                    send,
                    tuple(encode_headers(self.headers)),
                    self._opening,
                    include_topics=self._request.include_topics,
                )
                # The stream may last for hours: free what only its head and a rejection need.
                self.headers, self.on_rejected, self._opening = Headers(), _do_nothing, no_opening
                await serving

    async def _serve_generator(self, generator: AsyncIterator[Any], scope: Scope, send: Send) -> None:
        headers = tuple(encode_headers(self.headers))
        with self._admit("sse") as connection:
            async with self._running(generator, connection) as source:
                await serve_sse(self._broker, connection, source, scope, send, headers, self._opening)

    def _admit(self, transport: str) -> Connection:
        hub = self._broker.settings.hub
        queue = SendQueue(hub.send_queue_events, hub.send_queue_bytes)
        return admit(self._broker, transport, self._request, queue)

    @asynccontextmanager
    async def _running(
        self, generator: AsyncIterator[Any], connection: Connection
    ) -> AsyncIterator[GeneratedSource]:
        """Run a generator while the block lasts."""
        source = GeneratedSource(generator, connection.send_queue)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(source.run)
            yield source
            nursery.cancel_scope.cancel()


def _is_finished() -> bool:
    """Return True if the client of a generated stream has received its end."""
    return find_cursor(request_or_upgrade(), cursor_parameter())[1] == FINISHED_ID


class EventStreamHTTPConnection(TrioASGIHTTPConnection):
    """Quart-Trio's HTTP connection, extended to let an :class:`EventStream` send itself.

    A disconnect of the client cancels the nursery in which :meth:`handle_request` runs. It is not noticed
    while a :class:`~.push_back.PushBackBody` lets the client wait. A stream that can do without is served
    when that nursery has ended: its trio tasks, the request and its contexts would take 15 kB for as long as
    the stream lasts.
    """

    _stream: EventStream | None = None  # to be served after the request

    async def __call__(self, receive: Receive, send: Send) -> None:
        await super().__call__(receive, send)
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.serve(self.scope, send)

    def _create_request_from_scope(self, send: Any) -> Any:
        return with_address(super()._create_request_from_scope(send))

    async def handle_messages(  # type: ignore[override] # as in Quart-Trio
        self, nursery: trio.Nursery, request: Any, receive: Any
    ) -> None:
        async def receive_next() -> Any:
            if isinstance(request.body, PushBackBody):
                await request.body.wait_for_room()
            return await receive()

        await super().handle_messages(nursery, request, receive_next)

    async def _send_response(self, send: Any, response: Any) -> None:
        if isinstance(response, EventStream):
            if response.outlasts_request(self.scope):
                self._stream = response
            else:
                await response.serve(self.scope, send)
        else:
            await super()._send_response(send, response)
