"""Hypercorn's trio worker with listeners and connections of our own.

Protocols (HTTP/1.1, HTTP/2, WebSocket), configuration and lifespan are Hypercorn's. What differs: a
socket write is bounded in time, and every connection can be ended at once, whatever it is doing.

===============  ============================================================================
``serve``        :func:`serve`: listeners, the accept loop, and the way down
``accept``       accepting, and what happens when files have run out
``connection``   one client's socket
``output``       everything that leaves it, in one order
``tls``          TLS, records in and records out
``wires``        what writes past ASGI, on HTTP/1.1 and WebSocket
``http1``        HTTP/1.1: reading on while an answer is being made
``http2``        HTTP/2: back pressure, a wire, and an end for one stream
``tasks``        a connection's tasks, and what an application receives
``pace``         how many connections are looked after in one pass of the event loop
``live``         the connections there are
``listeners``    sockets with their options
``files``        the limit of open files
``collector``    the garbage collector
===============  ============================================================================
"""

from .collector import tune_collector
from .files import check_open_files, raise_open_files
from .serve import serve

__all__ = ["check_open_files", "raise_open_files", "serve", "tune_collector"]
