"""Streams: one request and its response, or one WebSocket."""

from collections.abc import Awaitable
from typing import Any, Final, cast

import structlog
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
from hypercorn.protocol.ws_stream import WSStream

_log = structlog.get_logger(__name__)

# Without permessage-deflate no message is ever compressed: a compressor costs 91 kB a connection, and
# Hypercorn inflates a message before it checks its size.
EXTENSIONS: Final = b"sec-websocket-extensions"

HypercornStream = HTTPStream | WSStream


def stream_of(send: Any) -> HypercornStream:
    """Return the stream that an ASGI ``send`` callable belongs to."""
    return cast(HypercornStream, send.__self__)


def is_streaming(stream: HypercornStream) -> bool:
    """Return True between head and end of a 200 response to a GET, with a body of unknown length."""
    if isinstance(stream, WSStream) or stream.state is not ASGIHTTPState.RESPONSE:
        return False
    head = stream.response
    has_length = b"content-length" in [name.lower() for name, _ in head["headers"]]
    return stream.scope["method"] == "GET" and head["status"] == 200 and not has_length


def send_body(stream: HypercornStream, data: bytes) -> Awaitable[None]:
    """Send a part of a body as the application would."""
    return stream.app_send({"type": "http.response.body", "body": data, "more_body": True})


def log_malformed(stream: WSStream, status: int) -> None:
    """Log a handshake that is refused without asking the application, which logs all others."""
    if stream.app_put is None:
        _log.info("request_malformed", status=status, address=stream.client and stream.client[0])
