"""Streams of HTTP/2: requests and WebSockets (RFC 8441), whose refusals are problems."""

from typing import Any, Final, cast

from hypercorn.protocol.events import Body, Data, EndBody, Event, Response, StreamClosed
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import FrameTooLargeError, WSStream
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Message, Ping
from wsproto.frame_protocol import CloseReason

from ..frame_guard import SPENT, FrameGuard
from ..refusals import RequestRefused

_FAILED: Final = RequestRefused(500, "internal", "something went wrong in the server")
_REFUSED: Final = {
    403: RequestRefused(403, "forbidden", "the WebSocket is not accepted"),
    404: RequestRefused(404, "not-found", "no server has this name"),
}
_EARLY_BYTES_MAX: Final = 65_535  # the window that a client begins with


async def _send_refusal(stream: Any, status: int) -> None:
    """Answer a request in place of the application, in the application's trio task."""
    refused = _REFUSED.get(status, _FAILED)
    headers, body = refused.answer()
    await stream.send(Response(stream_id=stream.stream_id, headers=headers, status_code=refused.status))
    if stream.scope.get("method") != "HEAD":
        await stream.send(Body(stream_id=stream.stream_id, data=body))
    await stream.send(EndBody(stream_id=stream.stream_id))


class HTTP2Request(HTTPStream):
    """One request and its response."""

    async def _send_error_response(self, status_code: int) -> None:
        await _send_refusal(self, status_code)


class HTTP2WebSocket(WSStream):
    """One WebSocket, which ends with a Close frame also where the client breaks the protocol.

    Attributes:
        is_violated: the client broke the protocol, and is not listened to any more.

    Frames that arrive before the handshake is answered are processed after it, as on HTTP/1.1.
    """

    is_violated = False
    _early: bytes | None = b""  # None: frames are processed as they come

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._guard = FrameGuard()

    async def handle(self, event: Event) -> None:
        if self._early is None or self.closed or not isinstance(event, Body | Data):
            await super().handle(event)
            return
        self._early += event.data
        if len(self._early) > _EARLY_BYTES_MAX:
            await self.send(StreamClosed(stream_id=self.stream_id))

    async def _accept(self, message: Any) -> None:
        await super()._accept(message)
        # In a trio task of its own: the application may not receive messages before this returns.
        self.task_group.spawn(self._process_early)

    async def _process_early(self) -> None:
        while self._early and not self.closed:
            data, self._early = self._early, b""
            await super().handle(Body(stream_id=self.stream_id, data=data))
        self._early = None

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
