"""Streams of HTTP/2: requests and WebSockets (RFC 8441), whose refusals are problems."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from hypercorn.protocol.events import Body, Data, EndBody, Event, Response, StreamClosed
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
from hypercorn.protocol.ws_stream import FrameTooLargeError, WSStream
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Message, Ping
from wsproto.frame_protocol import CloseReason

from ..frame_guard import SPENT, FrameGuard
from ..refusals import RequestRefused
from ..request_inbox import RequestInbox
from ..task_group import AnyInbox, Inbox, Put

_FAILED: Final = RequestRefused(500, "internal", "something went wrong in the server")
_REFUSED: Final = {
    403: RequestRefused(403, "forbidden", "the WebSocket is not accepted"),
    404: RequestRefused(404, "not-found", "no server has this name"),
}
_PROCESSED_BYTES: Final = 512  # at a time: pings of six bytes take 40 µs each, with their answers


async def _send_refusal(stream: Any, status: int) -> None:
    """Answer a request in place of the application, in the application's trio task."""
    refused = _REFUSED.get(status, _FAILED)
    headers, body = refused.answer()
    await stream.send(Response(stream_id=stream.stream_id, headers=headers, status_code=refused.status))
    if stream.scope.get("method") != "HEAD":
        await stream.send(Body(stream_id=stream.stream_id, data=body))
    await stream.send(EndBody(stream_id=stream.stream_id))


class _StreamTasks:
    """The trio tasks of a connection, as one of its streams spawns them: with an inbox of its own.

    Args:
        tasks: of the connection.
        inbox: of the stream.
        put: appends a message to it.
    """

    __slots__ = ("_inbox", "_put", "_tasks")

    def __init__(self, tasks: Any, inbox: AnyInbox, put: Put) -> None:
        self._tasks = tasks
        self._inbox = inbox
        self._put = put

    def spawn(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
        self._tasks.spawn(function, *arguments)

    async def spawn_app(self, _app: Any, _config: Any, scope: Any, send: Put) -> Put:
        self._tasks.serve(scope, self._inbox, send)
        return self._put


class HTTP2Request(HTTPStream):
    """One request and its response.

    Args:
        on_consumed: called with the number of bytes of the body that the application has received.
        arguments: Hypercorn's.

    Attributes:
        inbox: the messages for the application.
    """

    def __init__(self, on_consumed: Callable[[int], None], *arguments: Any) -> None:
        super().__init__(*arguments)
        self.inbox = RequestInbox(on_consumed)
        self.task_group = cast(Any, _StreamTasks(self.task_group, self.inbox, self.inbox.put))

    @property
    def is_unfinished(self) -> bool:
        """The response has begun, and is not complete."""
        return self.state in (ASGIHTTPState.RESPONSE, ASGIHTTPState.TRAILERS) and not self.closed

    async def handle(self, event: Event) -> None:
        if isinstance(event, Body):
            self.inbox.append(event.data)
        elif isinstance(event, EndBody):
            self.inbox.end()
        else:
            await super().handle(event)

    async def _send_error_response(self, status_code: int) -> None:
        await _send_refusal(self, status_code)


class HTTP2WebSocket(WSStream):
    """One WebSocket, which ends with a Close frame also where the client breaks the protocol.

    Frames are processed a few at a time, by the trio task that reads the connection; while the application
    is behind, by one of their own, so that other streams go on. They are processed after the handshake was
    answered, as on HTTP/1.1. The client may send more only as they are processed.

    Args:
        on_consumed: called with the number of bytes that were processed.
        pause: lets others have their turn.
        arguments: Hypercorn's.

    Attributes:
        is_violated: the client broke the protocol, and is not listened to any more.
    """

    def __init__(
        self, on_consumed: Callable[[int], None], pause: Callable[[], Awaitable[None]], *arguments: Any
    ) -> None:
        super().__init__(*arguments)
        self.is_violated = False
        self._on_consumed = on_consumed
        self._pause = pause
        self._received = bytearray()  # and not processed yet
        self._is_processing = True  # or must not yet be processed
        self._guard = FrameGuard()
        self._inbox = Inbox(self.config.max_app_queue_size)
        self.task_group = cast(Any, _StreamTasks(self.task_group, self._inbox, self._put))

    async def handle(self, event: Event) -> None:
        if self.closed or not isinstance(event, Body | Data):
            await super().handle(event)
            return
        self._received += event.data
        if not self._is_processing:
            self._is_processing = True
            await self._process()

    async def _put(self, message: Any) -> None:
        self._inbox.put_nowait(message)

    async def _accept(self, message: Any) -> None:
        await super()._accept(message)
        # In a trio task of its own: the application may not receive messages before this returns.
        self.task_group.spawn(self._process)

    async def _process(self) -> None:
        while self._received and not self.closed:
            if not self._inbox.has_room:
                self.task_group.spawn(self._process_when_room)
                return
            data = bytes(self._received[:_PROCESSED_BYTES])
            del self._received[:_PROCESSED_BYTES]
            await super().handle(Body(stream_id=self.stream_id, data=data))
            self._on_consumed(len(data))
            await self._pause()
        self._is_processing = False

    async def _process_when_room(self) -> None:
        await self._inbox.wait_for_room()
        await self._process()

    async def _send_error_response(self, status_code: int) -> None:
        await _send_refusal(self, status_code)

    async def _handle_events(self) -> None:
        for event in self.connection.events():
            if not self._guard.admits(event):
                await self._end(CloseReason.POLICY_VIOLATION, SPENT)
                return
            if isinstance(event, Message):
                try:
                    self.buffer.extend(event)
                except FrameTooLargeError:
                    await self._end(CloseReason.MESSAGE_TOO_BIG)
                    return
                if event.message_finished:
                    await cast(Any, self.app_put)(self.buffer.to_message())
                    self.buffer.clear()
            elif isinstance(event, Ping):
                await self._send_wsproto_event(event.response())
            elif isinstance(event, CloseConnection):
                if self.connection.state is ConnectionState.REMOTE_CLOSING:
                    await self._send_wsproto_event(event.response())
                elif self.connection.state is not ConnectionState.CLOSED:  # wsproto could not parse a frame
                    await self._end(event.code)
                    return
                await self.send(StreamClosed(stream_id=self.stream_id))
                return
            await self._guard.pause()

    async def _end(self, code: int, reason: str | None = None) -> None:
        """Close the WebSocket with a code, without waiting for the client's Close frame."""
        self.is_violated = True
        await self._send_wsproto_event(CloseConnection(code=code, reason=reason))
        await self.send(StreamClosed(stream_id=self.stream_id))
