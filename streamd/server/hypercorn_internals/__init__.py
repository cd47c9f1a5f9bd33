"""The only package that touches Hypercorn's private parts.

Hypercorn documents :mod:`hypercorn.config`, :mod:`hypercorn.typing` and ``hypercorn.trio.serve``. Its state
machines for HTTP/1.1, HTTP/2 and WebSocket are not documented; this package puts them on connections of
streamd's own. Written against Hypercorn 0.18, which ``pyproject.toml`` pins. When Hypercorn moves, check:

==================================  ====================================================================
relied on                           what breaks when it changes
==================================  ====================================================================
nine positional arguments           every connection: see :func:`protocol_arguments`
``hypercorn.events``                every connection: see :class:`ConnectionPort` and ``receive_data``
``H11Protocol.can_read``            pipelining, and noticing a client that leaves during an answer
``H11Protocol._create_stream``,     WebSocket extensions are negotiated again (91 kB a connection), and
``H2Protocol._create_stream``       messages are inflated before their size is checked
``H11Protocol._send_error_response``  requests that are no HTTP leave no log line
``H11WSConnection``,                a WebSocket handshake that is refused: bytes behind it would be answered a
``stream_send``                     second time, and the connection would stay open
``H11Protocol._check_protocol``,    ``Upgrade: h2c`` is accepted again: a tunnel past the rules of a proxy;
``H2ProtocolAssumedError``          HTTP/2 by prior knowledge
``H2Protocol.stream_buffers``       HTTP/2 back-pressure: see :mod:`..stream_buffer`, which has the methods of
                                    Hypercorn's ``StreamBuffer``
``H2Protocol.streams``              a body that continues after its answer ends the whole connection
``H2Protocol._close_stream``,       ending one stream of an HTTP/2 connection; revoking its wire; the
``_window_updated``, ``_flush``     keep-alive timeout after the last stream
``HTTPStream.state``, ``response``  direct writes: a wire could write before the head or after the end
``WSStream.connection``             direct writes: a wire could write after a Close frame
``app_send`` is a bound method      the connection object in the ASGI scope: see :func:`stream_of`
``Lifespan``, ``WorkerContext``     start-up and graceful shutdown
==================================  ====================================================================

============  ==========================================================================================
``context``   the state of a server, and what its protocols are constructed with
``h11``       HTTP/1.1 and WebSocket on one connection
``h2``        HTTP/2 on one connection
``streams``   one request and its response, or one WebSocket
============  ==========================================================================================

May import ``http1``, ``stream_buffer``, ``task_group`` and ``wires``.
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
