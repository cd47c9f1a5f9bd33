"""How events reach a client: SSE, WebSocket and long-poll, all on one loop.

Plain ASGI messages in and out; knows no web framework.

==============  =============================================================================
``stream``      what a client asks for, its place, and the loop that serves it
``sse``         Server-Sent Events over an ASGI response
``websocket``   JSON text frames, and what a client may say on an open socket
``longpoll``    one answer at a time
``generated``   a stream for one client, from an async generator
==============  =============================================================================
"""

from .stream import StreamRequest, open_stream, parse_selectors

__all__ = ["StreamRequest", "open_stream", "parse_selectors"]
