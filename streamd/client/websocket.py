"""Follow events over WebSocket (RFC 6455), in the JSON grammar of :mod:`streamd.events.messages`."""

import ssl
from collections.abc import Callable
from typing import Final, cast

import attrs
import httpx
import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)
from wsproto.utilities import ProtocolError as WireError

from ..errors import StreamdError
from .endpoint import ServerEndpoint
from .errors import ProtocolError, RequestFailed, Unreachable, connection_error, failed
from .link import EVENT_CHARS_MAX, Link, Request, StreamOver
from .problem import Problem, read_problem
from .wire import read_frame

CLOSE_SECONDS: Final = 2.0  # the maximum wait for the server's close frame
RECEIVE_BYTES: Final = 65_536
BROKEN: Final = (HandshakeError, WireError, OSError, trio.BrokenResourceError, trio.ClosedResourceError)
# Close codes that mean that the subscription is invalid (RFC 6455 section 7.4.1), as HTTP statuses.
REFUSING_CODES: Final = {1002: 400, 1003: 415, 1007: 400, 1008: 400, 1009: 413}


async def follow_websocket(request: Request, link: Link) -> None:
    """Make one connection, and take its frames until it ends. Cancelling closes it.

    Raises:
        Unreachable, ServerBusy: a retry may help.
        StreamOver: the stream has ended for good (204 instead of an upgrade).
        RequestFailed, ProtocolError, Untrusted: a retry would fail too.
    """
    timeouts = request.endpoint.timeouts
    try:
        with trio.fail_after(timeouts.connect_seconds):
            stream = await _open_stream(request.endpoint)
    except trio.TooSlowError as error:
        raise Unreachable(f"no connection within {timeouts.connect_seconds:g} s") from error
    except (OSError, trio.BrokenResourceError) as error:
        raise connection_error(error) from error

    failure: StreamdError | StreamOver | None = None
    try:
        async with stream, trio.open_nursery() as nursery:
            try:
                connection = await _handshake(nursery, stream, request, link)
                await _read(connection, link)
            except (StreamdError, StreamOver) as error:
                failure = error  # raised below: the nursery would wrap it in a group
            nursery.cancel_scope.cancel()
    except ExceptionGroup as group:  # the library's reading trio task raises in the nursery
        failure = _of_reading_task(group)
    if failure is not None:
        raise failure


async def _open_stream(endpoint: ServerEndpoint) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    url = endpoint.base
    if endpoint.ssl_context is None:
        return await trio.open_tcp_stream(url.host, url.port or 80)
    stream = await trio.open_ssl_over_tcp_stream(
        url.host, url.port or 443, ssl_context=endpoint.ssl_context, https_compatible=True
    )
    try:
        await stream.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return stream


async def _handshake(
    nursery: trio.Nursery, stream: trio.abc.Stream, request: Request, link: Link
) -> WebSocketConnection:
    query = request.query if link.cursor is None else (*request.query, ("last_event_id", link.cursor))
    url = request.endpoint.url("events").copy_with(params=httpx.QueryParams(query))
    seconds = request.endpoint.timeouts.connect_seconds
    headers = {**await request.endpoint.authorization(), **link.resume_headers}
    lost = False

    def on_end() -> None:
        nonlocal lost
        lost = True
        scope.cancel()

    with trio.move_on_after(seconds) as scope:
        try:
            return await wrap_client_stream(
                nursery,
                cast(trio.SocketStream, _Watched(stream, on_end)),
                url.netloc.decode("ascii"),
                url.raw_path.decode("ascii"),
                max_message_size=EVENT_CHARS_MAX,
                receive_buffer_size=RECEIVE_BYTES,
                extra_headers=[(name.encode(), value.encode()) for name, value in headers.items()],
            )
        except ConnectionClosed as error:
            raise Unreachable("the connection was lost in the WebSocket handshake") from error
    if lost:
        raise Unreachable("the connection was lost in the WebSocket handshake")
    raise Unreachable(f"no answer within {seconds:g} s")


async def _read(connection: WebSocketConnection, link: Link) -> None:
    try:
        while True:
            with trio.move_on_after(link.silence_seconds) as silence:
                text = await connection.get_message()
            if silence.cancelled_caught:
                raise Unreachable(f"the server was silent for {link.silence_seconds:g} s")
            frame, retry_ms = read_frame(text)
            link.take_retry(retry_ms)
            await link.take(frame)
    except ConnectionClosed as closed:
        reason = closed.reason
        if reason is not None and reason.code in REFUSING_CODES:
            detail = reason.reason or f"the server closed with {reason.code} {reason.name}"
            problem = Problem(REFUSING_CODES[reason.code], f"websocket-{reason.code}", detail)
            raise RequestFailed(problem) from closed
        if reason is None or reason.code == 1006:
            raise Unreachable("the connection was lost") from closed
    finally:
        with trio.move_on_after(CLOSE_SECONDS):
            await connection.aclose()


def _of_reading_task(group: ExceptionGroup) -> StreamdError | StreamOver:
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ConnectionRejected):
        return _rejected(error)
    if isinstance(error, BROKEN):
        return Unreachable(f"the connection broke: {error!r}")
    raise group  # a bug; another connection would meet it again


def _rejected(error: ConnectionRejected) -> StreamdError | StreamOver:
    if error.status_code == 204:
        return StreamOver()
    if 200 <= error.status_code < 300:
        return ProtocolError(f"the server answered {error.status_code} instead of a WebSocket upgrade")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in error.headers}
    return failed(read_problem(error.status_code, headers, error.body or b""))


@attrs.define(eq=False)
class _Watched(trio.abc.Stream):
    """A stream that calls ``on_end`` when the server closes it.

    During the handshake the library does not notice that, and would wait until the timeout.
    """

    inner: trio.abc.Stream
    on_end: Callable[[], None]

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self.inner.receive_some(max_bytes)
        except (trio.BrokenResourceError, ssl.SSLError) as error:
            self.on_end()
            raise trio.BrokenResourceError(str(error)) from error
        if not data:
            self.on_end()
        return data

    async def aclose(self) -> None:
        await self.inner.aclose()
