"""Follow events: one loop that connects, resumes and waits, for all transports."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final, Literal

import trio

from ..errors import InvalidField, StreamdError
from ..events import EventId, parse_event_id
from ..outbound import Backoff, RetryLoop, RetryNotice, RetryPolicy
from .endpoint import ServerEndpoint, Timeouts, Token, Verify
from .errors import Unreachable
from .items import Connected, CursorMoved, Gap, Item, ReceivedEvent, Reconnecting
from .link import Link, Request, StreamOver
from .poll import follow_poll
from .sse import follow_sse
from .websocket import follow_websocket

Transport = Literal["sse", "websocket", "poll"]
Follow = Callable[[Request, Link], Awaitable[None]]

TRANSPORTS: Final[dict[Transport, Follow]] = {
    "sse": follow_sse,
    "websocket": follow_websocket,
    "poll": follow_poll,
}
BUFFER_ITEMS: Final = 256  # read ahead of the iterator; a full buffer is back-pressure for the server


class EventSubscription:
    """An asynchronous iterator over the items of a subscription; made by :func:`subscribe`.

    It ends when the server ends the stream for good. Cancelling a wait for the next item loses nothing.

    Attributes:
        cursor: the id of the last item returned; subscribe with ``after=cursor`` to resume there. None until
            the first event, or until the server has sent the head of its log.
    """

    def __init__(self, items: trio.MemoryReceiveChannel[Item], cursor: EventId | None) -> None:
        self.cursor = cursor
        self._items = items
        self._failure: StreamdError | None = None

    def __aiter__(self) -> "EventSubscription":
        return self

    async def __anext__(self) -> Item:
        items = await self.receive_some(1)
        if not items:
            raise StopAsyncIteration
        return items[0]

    async def receive_some(self, max_items: int = BUFFER_ITEMS) -> list[Item]:
        """Wait for the next item, and return it with all others that are ready.

        Args:
            max_items: the maximum number of items.

        Returns:
            The items in order; an empty list at the end of the stream.

        Raises:
            RequestFailed: the server rejects the subscription; ``problem`` has the reason.
            ProtocolError: the server does not speak streamd's protocol.
            trio.ClosedResourceError: the ``async with`` block has ended.
        """
        try:
            items = [await self._items.receive()]
        except trio.EndOfChannel:
            if self._failure is not None:
                raise self._failure from None
            return []
        while len(items) < max_items:
            try:
                items.append(self._items.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel):
                break
        for item in items:
            self._follow_cursor(item)
        return items

    def _follow_cursor(self, item: Item) -> None:
        match item:
            case ReceivedEvent(id=id) | CursorMoved(id=id) | Gap(resumed_after=id) if id:
                self.cursor = EventId(id)
            case Connected(head=str(head)) if self.cursor is None:
                self.cursor = EventId(head)

    def _fail(self, error: StreamdError) -> None:
        self._failure = error


@asynccontextmanager
async def subscribe(
    url: str,
    *,
    topics: Iterable[str] = (),
    patterns: Iterable[str] = (),
    after: str | None = None,
    overflow: str | None = None,
    transport: Transport = "sse",
    heartbeat_seconds: float | None = None,
    client_id: str | None = None,
    verify: Verify = True,
    http2: bool = False,
    backoff: Backoff | None = None,
    timeouts: Timeouts | None = None,
    token: Token | None = None,
) -> AsyncIterator[EventSubscription]:
    """Follow events, over as many connections as it takes, until the ``async with`` block ends.

    ::

        async with subscribe("http://127.0.0.1:8080", topics=["logs"]) as subscription:
            async for item in subscription:
                if isinstance(item, ReceivedEvent):
                    print(item.data)

    Args:
        url: the server's address.
        topics: exact topics. An event is selected by any of them, or of the patterns.
        patterns: such as ``merchant:*:*`` or ``tasks/**``.
        after: resume after this id; ``"earliest"`` replays the whole log. By default, events from now on.
        overflow: the policy for a slow consumer: ``catch-up`` (the default), ``latest`` or
            ``disconnect``. Not for polls.
        transport: ``sse``, ``websocket`` or ``poll``.
        heartbeat_seconds: the heartbeat interval to ask for (s). Not for polls.
        client_id: a name for this client, by which the server's programs address it. Each connection replaces
            the one before it, also if the server has not noticed yet that it was lost.
        verify: how to verify a TLS certificate: True, a file with authorities (PEM), an ``ssl.SSLContext``,
            or False.
        http2: use HTTP/2; without TLS by prior knowledge. Not for WebSocket.
        backoff: the waits between attempts.
        timeouts: the timeouts of a connection.
        token: proves the caller to a server with keys: a token, or an asynchronous function that is asked for
            one at each attempt to connect.

    Raises:
        InvalidField: ``url`` or ``after`` is invalid, the transport is unknown, or it does not have an
            option.
    """
    if transport not in TRANSPORTS:
        raise InvalidField(f"transport must be one of {', '.join(TRANSPORTS)}", field="transport")
    if transport == "poll" and (overflow is not None or heartbeat_seconds is not None):
        raise InvalidField("a poll has no overflow policy and no heartbeat", field="overflow")
    cursor = None if after is None else parse_event_id(after, field="after")
    endpoint = ServerEndpoint.create(url, verify=verify, http2=http2, timeouts=timeouts, token=token)
    query = [("topic", topic) for topic in topics] + [("pattern", pattern) for pattern in patterns]
    if overflow is not None:
        query.append(("overflow", overflow))
    if heartbeat_seconds is not None:
        query.append(("heartbeat", f"{heartbeat_seconds:g}"))
    if client_id is not None:
        query.append(("client_id", client_id))

    async with follow(
        TRANSPORTS[transport], Request(endpoint, tuple(query)), cursor, backoff
    ) as subscription:
        yield subscription


@asynccontextmanager
async def follow(
    transport: Follow,
    request: Request,
    cursor: EventId | None = None,
    backoff: Backoff | None = None,
    *,
    snapshots: bool = False,
) -> AsyncIterator[EventSubscription]:
    """Follow any stream, as :func:`subscribe` does.

    Args:
        transport: makes one connection.
        request: the request of every connection.
        cursor: resume after this id.
        backoff: the waits between attempts.
        snapshots: whether the stream may begin with a snapshot, see :class:`.link.Link`.
    """
    send, receive = trio.open_memory_channel[Item](BUFFER_ITEMS)
    subscription = EventSubscription(receive, cursor)
    link = Link(request.endpoint.timeouts, send.send, cursor, snapshots)
    loop = _Reconnector(transport, request, link, backoff or Backoff())
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery, send, receive:
        nursery.start_soon(_run, loop, send, subscription)
        try:
            yield subscription
        except trio.Cancelled:
            raise
        except BaseException as error:  # noqa: BLE001 - raised below: the nursery would wrap it in a group
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _run(
    loop: "_Reconnector", send: trio.MemorySendChannel[Item], subscription: EventSubscription
) -> None:
    """Run the loop, and turn its end or failure into that of the iterator."""
    async with send:
        try:
            await loop.run()
        except StreamOver:
            pass
        except StreamdError as error:
            subscription._fail(error)


class _Reconnector:
    """Connects until the stream is over, each time from the cursor that the last connection reached."""

    def __init__(self, transport: Follow, request: Request, link: Link, backoff: Backoff) -> None:
        self._transport = transport
        self._request = request
        self._link = link
        self._loop = RetryLoop(
            policy=RetryPolicy(backoff=backoff), on_retry=self._announce, retry_on=_is_worth_retrying
        )

    async def run(self) -> None:
        """Run until the stream is over.

        Raises:
            StreamOver: the server says so (204).
            StreamdError: a failure that another connection cannot help.
        """
        await self._loop.run(self._connect)

    async def _connect(self) -> None:
        """Make one connection. Returns if another client has replaced this one, and must keep the stream."""
        link = self._link
        link.begin()
        try:
            await self._transport(self._request, link)
            failure: StreamdError = Unreachable("the server ended the stream")
        except StreamdError as error:
            if not _is_worth_retrying(error):
                raise
            failure = error
        if link.replaced:
            return
        if link.progress:
            self._loop.reset()
        self._loop.base_seconds = link.retry_seconds
        raise failure

    async def _announce(self, notice: RetryNotice) -> None:
        await self._link.send(Reconnecting(notice.wait_seconds, str(notice.failure)))


def _is_worth_retrying(error: StreamdError) -> bool:
    """Return whether another connection may help: also after a 5xx, whatever the error says of itself."""
    problem = getattr(error, "problem", None)
    return error.retryable or (problem is not None and problem.status >= 500)
