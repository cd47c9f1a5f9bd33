"""Quart-Trio's WebSocket connection, with binary messages that may be empty."""

from typing import Any

import trio
from quart_trio.asgi import TrioASGIWebsocketConnection


class WebSocketConnection(TrioASGIWebsocketConnection):
    """Passes an empty binary message on; Quart-Trio takes it for a text message without text."""

    def _create_websocket_from_scope(self, send: Any) -> Any:
        return with_address(super()._create_websocket_from_scope(send))

    async def handle_messages(  # type: ignore[override] # as in Quart-Trio
        self, nursery: trio.Nursery, receive: Any
    ) -> None:
        async def receive_next() -> Any:
            message = await receive()
            if message.get("bytes") == b"":
                return {**message, "text": b""}
            return message

        await super().handle_messages(nursery, receive_next)


def with_address(asked: Any) -> Any:
    """Let a client on a Unix socket have no address, where Quart makes one up (``<local>``)."""
    if not asked.scope.get("client"):
        asked.headers["Remote-Addr"] = ""
    return asked
