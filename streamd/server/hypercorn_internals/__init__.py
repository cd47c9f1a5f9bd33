"""The only package that touches Hypercorn's private parts.

Hypercorn documents :mod:`hypercorn.config`, :mod:`hypercorn.typing` and ``hypercorn.trio.serve``. Its state
machines for HTTP/2, and for WebSocket on it, are not documented; this package puts them on connections of
streamd's own. Written against Hypercorn 0.18, which ``pyproject.toml`` pins. When Hypercorn moves, check:

==================================  ====================================================================
relied on                           what breaks when it changes
==================================  ====================================================================
nine positional arguments           every connection: see :func:`protocol_arguments`
``hypercorn.events``                every connection: see :class:`ConnectionPort`
``H2Protocol._create_stream``,      HTTP/2 requests, all of them; WebSocket extensions are negotiated again
``filter_pseudo_headers``           (91 kB a connection), and messages inflated before their size is checked
``H2Protocol.send_task``,           the heads and frames of all streams, which one task sends; ``priority`` is
``_send_data``, ``priority``        a :class:`StreamOrder`
``spawn_app``, ``app_put``          HTTP/2 back-pressure from the application to the client
``_send_error_response``,           refusals without a body; WebSockets over HTTP/2 that end without a Close
``WSStream._handle_events``         frame
``stream_send``                     a stream whose WebSocket handshake was refused would stay open
``H2Protocol.stream_buffers``       HTTP/2 back-pressure: see :mod:`..stream_buffer`, which has the methods of
                                    Hypercorn's ``StreamBuffer``
``H2Protocol._close_stream``,       ending one stream of an HTTP/2 connection; revoking its wire; the
``_window_updated``, ``_flush``     keep-alive timeout after the last stream
``HTTPStream.state``, ``response``  direct writes: a wire could write before the head or after the end
``app_send`` is a bound method      the connection object in the ASGI scope: see :func:`stream_of`
``Lifespan``, ``WorkerContext``     start-up and graceful shutdown
==================================  ====================================================================

============  ==========================================================================================
``context``   the state of a server, and what its protocols are constructed with
``h2``        HTTP/2 on one connection
``streams``   one request and its response, or one WebSocket
============  ==========================================================================================

HTTP/2, from the socket up: ``http2_frames`` bounds what the frames of a client cost, and makes those of
answers; ``http2_heads`` refuses heads, both with the private parts of the ``h2`` library that this takes
(``hpack_decoder`` decodes heads, with ``huffman`` for strings, ``http2_fields`` checks their fields, and
``hpack_encoder`` encodes those of answers, both by ``hpack_forms``); ``h2`` dispatches,
``http2_requests`` checks requests, ``http2_streams`` has their streams, and ``http2_sending`` sends
what these have buffered. May import ``http2_budgets``, ``output``, ``refusals``, ``request_inbox``,
``stream_buffer``, ``target``, ``task_group`` and ``wires``.
"""

from .context import ASGILifespan, ConnectionPort, HypercornContext, protocol_arguments
from .h2 import HTTP2Protocol
from .streams import HypercornStream, is_streaming, send_body, stream_of

__all__ = [
    "ASGILifespan",
    "ConnectionPort",
    "HTTP2Protocol",
    "HypercornContext",
    "HypercornStream",
    "is_streaming",
    "protocol_arguments",
    "send_body",
    "stream_of",
]
