"""The loop of a connection over HTTP/1.1: read a head, run the application, and again.

::

    IDLE (finite deadline) --first byte--> HEAD (request-head timeout) --complete--> application (no deadline)
      ^                                      |                                           |
      +---- the response is complete, and the rest of the request was read -------------+
                                             | refused                                   | unread body, drain,
                                             v                                           v Connection: close
                                        LINGER (output closed, 2 s) <--------------------+

The application runs in the trio task of the connection. No other trio task reads the socket meanwhile.
"""

from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Final

import structlog
import trio

from ...characters import cut
from ..client_socket import ClientSocket
from ..options import for_target
from ..refusals import RequestRefused
from .exchange import HTTPExchange
from .handshake import Handshake, is_handshake
from .head import HeadReader, RepeatedHead, RequestHead
from .response import ResponseHead
from .scope import make_scope, make_websocket_scope
from .websocket import WebSocketExchange

_log = structlog.get_logger(__name__)
_REQUESTS_IN_A_ROW: Final = 8  # of a pipelining client, after which others get their turn

Exchange = HTTPExchange | WebSocketExchange


async def serve_http1(client: ClientSocket) -> bytes | None:
    """Serve requests until the connection ends.

    Returns:
        The bytes received so far, if they begin with the preface of HTTP/2 (by prior knowledge, RFC 9113
        section 3.3); else None.
    """
    served = 0
    repeated: RepeatedHead | None = None
    exchange: Exchange | None = None
    path = ""
    while True:
        try:
            head, repeated = await _read_head(client, repeated, is_first=not served)
            client.timer.stop()
            if head is None:
                await _end(client)
            if head is None or isinstance(head, bytes):
                return head
            running: Awaitable[None] | None = None
            if head is repeated and isinstance(exchange, HTTPExchange):
                running = exchange.begin_again(repeated.size)
            if running is None:
                exchange, scope = _begin(client, head)
                path = cut(scope["path"])
        except RequestRefused as refused:
            client.timer.stop()
            await _refuse(client, refused)
            return None
        assert exchange is not None
        failed = False
        try:
            if running is None:
                running = for_target(client.server.app, scope)(scope, exchange.receive, exchange.send)
                del scope  # the response may last for hours, and the application may free it
            del head
            await running
        except Exception:  # noqa: BLE001 - an error of one request must not reach the others
            failed = True
            _log.exception("application_failed", path=path)
        except BaseException:
            # Cancelled, the connection ends without an answer: a client whose request was not answered tries
            # again, where a 500 would tell it that the server failed.
            client.close_output()
            raise
        is_over = isinstance(exchange, HTTPExchange) and exchange.finish_nowait()
        if not (is_over or await exchange.finish(failed=failed)):
            await client.linger()
            return None
        del running
        served += 1
        # The next request of other clients is waited for, which is a checkpoint.
        if not served % _REQUESTS_IN_A_ROW and (client.read_ahead or client.is_encrypted):
            await trio.lowlevel.checkpoint()


async def _read_head(
    client: ClientSocket, repeated: RepeatedHead | None, *, is_first: bool
) -> tuple[RequestHead | RepeatedHead | bytes | None, RepeatedHead | None]:
    """Read the next head.

    Args:
        client: the connection.
        repeated: the last head, if the next one may repeat it.
        is_first: no request was served before.

    Returns:
        The head, or ``repeated`` itself if it is that, or the bytes received so far if they begin with the
        preface of HTTP/2, or None if the client has left or the server is draining; and the head that the
        one after it may repeat.

    Raises:
        RequestRefused: the head is malformed, too large, or not supported.
    """
    if not is_first and not client.server.keeps_alive:
        return None, None
    data: bytes | None = client.read_ahead
    if data:
        client.read_ahead = b""
    elif is_first or client.is_encrypted:
        data = client.read_nowait()
    elif not client.output.free:
        data = await _wait_for_bytes(client)
    else:  # the next request of a client has hardly ever arrived already
        client.start_idle()
        await client.wait_readable()
        data = client.read_nowait()
    if data and repeated is not None:
        rest = repeated.match(data)
        if rest is not None:
            client.read_ahead = rest
            return repeated, repeated
    return await _read_new_head(client, data, is_first=is_first)


async def _read_new_head(
    client: ClientSocket, data: bytes | None, *, is_first: bool
) -> tuple[RequestHead | bytes | None, RepeatedHead | None]:
    """Do the same for a head that repeats no other.

    Args:
        client: the connection.
        data: the first bytes; None if there are none yet, empty at the end of the connection.
        is_first: no request was served before.
    """
    reader: HeadReader | None = None
    has_begun = False
    while True:
        if data == b"":
            client.timer.stop()
            await client.server.limiter.teardown_turn()
            return None, None
        if data:
            if reader is None:
                reader = HeadReader(client.server.settings.max_request_head_bytes, takes_preface=is_first)
            found = reader.feed(data)
            if found is not None:
                head, client.read_ahead = found
                return head or client.read_ahead, reader.repeated
            data = client.read_nowait()
        if data is None:
            data = await _wait_for_bytes(client, is_first=is_first, has_begun=has_begun, begins=bool(reader))
            has_begun = reader is not None
        # A request that was not waited for came with its connection, which the listener let in in its turn.
        if is_first and reader is None and data and client.is_idle:
            client.begin_setup()
            if await client.server.limiter.setup_turn() and client.was_reset():
                return None, None  # a flood of such clients costs no more than their sockets


async def _wait_for_bytes(
    client: ClientSocket, *, is_first: bool = False, has_begun: bool = False, begins: bool = False
) -> bytes | None:
    """Wait for the next bytes of a head; None if there are none yet, empty at the end of the connection.

    Args:
        client: the connection.
        is_first: no request was served before.
        begins: the first bytes of the head have been received.
        has_begun: they had been at the last wait.
    """
    if not client.output.free:
        # The last response is still being sent: a connection is idle after that.
        with suppress(trio.ClosedResourceError):
            await client.output.send(b"")
        if not is_first and not client.server.keeps_alive:
            return b""
        data = client.read_nowait()
        if data is not None:
            return data
    if not client.is_idle:
        if is_first:
            client.expect_first_byte()
        else:
            client.start_idle()
    if begins and not has_begun:
        client.expect_head()
    await client.wait_readable()
    return client.read_nowait()


def _begin(client: ClientSocket, found: RequestHead | RepeatedHead) -> tuple[Exchange, dict[str, Any]]:
    """Build the exchange of a request, and its scope.

    Raises:
        RequestRefused: it is a handshake of WebSocket that cannot be accepted.
    """
    is_repeated = isinstance(found, RepeatedHead)
    head = found.restore() if isinstance(found, RepeatedHead) else found
    if is_handshake(head):
        handshake = Handshake.of(head)
        websocket = WebSocketExchange(client, head, handshake)
        return websocket, make_websocket_scope(head, client, websocket, handshake.subprotocols)
    exchange = HTTPExchange(client, head, is_repeated=is_repeated)
    return exchange, make_scope(head, client, exchange)


async def _end(client: ClientSocket) -> None:
    """End a connection on which no request is in progress."""
    if not client.has_left:  # the server is draining: the client may be sending its next request
        await client.linger()


async def _refuse(client: ClientSocket, refused: RequestRefused) -> None:
    """Answer a request that no application sees, and end the connection."""
    address = client.address and client.address[0]
    _log.info("request_malformed", status=refused.status, address=address, reason=refused.detail)
    headers, body = refused.answer()
    head = ResponseHead(refused.status, headers, is_head_request=False, is_http_1_0=False, keeps_alive=False)
    with suppress(trio.ClosedResourceError):
        await client.output.send(head.data + body)
    await client.linger()
