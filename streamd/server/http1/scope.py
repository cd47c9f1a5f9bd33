"""ASGI scopes of requests over HTTP/1.1."""

from typing import Any, Final
from urllib.parse import unquote

from ...proxies import TCP_PROXY
from ...transports.asgi import CONNECTION_EXTENSION, Transport
from ..client_socket import ClientSocket
from .head import RequestHead

_HTTP: Final = {"spec_version": "2.1", "version": "3.0"}
_WEBSOCKET: Final = {"spec_version": "2.3", "version": "3.0"}
_WEBSOCKET_SCHEMES: Final = {"http": "ws", "https": "wss"}


def make_scope(head: RequestHead, client: ClientSocket, transport: Transport) -> dict[str, Any]:
    """Build the scope of a request (ASGI HTTP, Connection Scope)."""
    path, _, query = head.target.partition(b"?")
    text = path.decode("ascii")  # llhttp takes nothing else
    scope = {
        "type": "http",
        "http_version": "1.0" if head.is_http_1_0 else "1.1",
        "asgi": _HTTP,
        "method": head.method,
        "scheme": client.url_scheme,
        "path": unquote(text) if "%" in text else text,
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": head.headers,
        "client": client.address,
        "server": client.own_address,
        "state": client.server.state.copy(),
        "extensions": {CONNECTION_EXTENSION: transport},
    }
    if client.tcp_proxy is not None:
        scope[TCP_PROXY] = client.tcp_proxy
    return scope


def make_websocket_scope(
    head: RequestHead, client: ClientSocket, transport: Transport, subprotocols: list[str]
) -> dict[str, Any]:
    """Build the scope of a WebSocket handshake (ASGI WebSocket, Connection Scope)."""
    scope = make_scope(head, client, transport)
    del scope["method"]
    scope["type"] = "websocket"
    scope["asgi"] = _WEBSOCKET
    scope["scheme"] = _WEBSOCKET_SCHEMES[client.url_scheme]
    scope["subprotocols"] = subprotocols
    scope["extensions"]["websocket.http.response"] = {}
    return scope
