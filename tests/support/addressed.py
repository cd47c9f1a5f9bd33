"""Clients with addresses of their own, which all come over loopback."""

from typing import Any

from quart_trio import QuartTrio

ADDRESS = "192.0.2.1"


def give_addresses(app: QuartTrio) -> QuartTrio:
    """Take the address of a request from its header ``Test-Address``, or else :data:`ADDRESS`.

    It stands in for the server, which resolves addresses before the application is called.
    """
    inner = app.asgi_app

    async def with_address(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            address = dict(scope["headers"]).get(b"test-address", ADDRESS.encode()).decode()
            scope = {**scope, "client": (address, 1)}
        await inner(scope, receive, send)

    app.asgi_app = with_address  # type: ignore[method-assign]
    return app
