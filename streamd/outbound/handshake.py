"""Close the socket of a TLS handshake that was cancelled, and bound the responses on new connections.

httpcore 1.0 closes a connection whose handshake failed, but not one whose handshake was cancelled: its socket
stays open until the garbage collector finds it. The ``trace`` extension of httpx (a public interface) reports
each step of a connection, and hands out the stream.
"""

from typing import Any

import httpx
import trio

from .bounds import bound_stream


class HandshakeGuard:
    """A trace of one request that closes the stream of an unfinished handshake, and bounds a new one."""

    def __init__(self) -> None:
        self._stream: Any = None  # an httpcore.AsyncNetworkStream: connected, and without TLS so far

    def watch(self, request: httpx.Request) -> None:
        """Trace a request. Has to be called before each sending of it."""
        request.extensions = {**request.extensions, "trace": self._trace}

    async def _trace(self, event: str, info: dict[str, Any]) -> None:
        """Note an event of httpcore, such as ``connection.start_tls.failed``."""
        if event.endswith(".connect_tcp.complete"):
            self._stream = info["return_value"]
            bound_stream(self._stream)
        elif event.endswith(".start_tls.complete"):
            self._stream = None
            bound_stream(info["return_value"])
        elif event.endswith(".start_tls.failed") and self._stream is not None:
            with trio.CancelScope(shield=True) as scope:
                scope.cancel()  # so that closing cannot wait for the server
                await self._stream.aclose()
