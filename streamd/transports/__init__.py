"""Transports: event delivery over SSE, WebSocket and long polling, all by one loop.

Plain ASGI messages in and out; knows no web framework.

==============  =============================================================================
``stream``      the checked request, its slot and subscription, and the loop that serves it
``sse``         Server-Sent Events over an ASGI response
``websocket``   JSON text frames, and the messages of a client on an open socket
``longpoll``    one answer at a time
``generated``   a stream for one client, from an async generator
``asgi``        the ASGI types used here, and what streamd's own server adds to them
==============  =============================================================================
"""

from .stream import EventReader, StreamRequest, open_stream, parse_selectors

__all__ = ["EventReader", "StreamRequest", "open_stream", "parse_selectors"]
