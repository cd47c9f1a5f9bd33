"""HTTP/1.1 and WebSocket on one connection (RFC 9112, RFC 6455), pulled by the connection's own trio task.

=============  ================================================================================
``service``    the loop of a connection: head, application, next head
``head``       the head of a request: llhttp, and the checks that it leaves to us
``body``       the framing of a request's body
``reading``    reading such a body from its connection
``scope``      ASGI scopes
``exchange``   one request and its response, as an application sees them
``sending``    its sending half
``response``   the head of a response
``handshake``  the opening handshake of a WebSocket
``websocket``  one WebSocket, as an application sees it
=============  ================================================================================

May import ``client_socket``, ``refusals`` and ``wires``.
"""

from .service import serve_http1

__all__ = ["serve_http1"]
