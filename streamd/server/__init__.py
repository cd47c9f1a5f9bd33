"""Hypercorn's trio worker with listeners and connections of our own.

Protocols (HTTP/1.1, HTTP/2, WebSocket), configuration and lifespan are Hypercorn's. What differs: a
socket write is bounded in time, and every connection can be ended at once, whatever it is doing.

===============  ============================================================================
``serve``        :func:`serve`: listeners, the accept loop, and the way down
``connection``   one client's socket
``http2``        back pressure for HTTP/2 streams, and their end
``listeners``    sockets with their options
``files``        the limit of open files
===============  ============================================================================
"""

from .files import check_open_files, raise_open_files
from .serve import serve

__all__ = ["check_open_files", "raise_open_files", "serve"]
