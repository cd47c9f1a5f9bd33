"""HTTP/2 on one connection: Hypercorn's protocol, fed by a trio task of the connection."""

from contextlib import suppress
from typing import Any

import trio

from ..proxies import TCP_PROXY
from ..time_slice import request_slice
from ..transports.asgi import CONNECTION_EXTENSION
from .client_socket import ClientSocket
from .http2 import HTTP2Stream
from .hypercorn_internals import HTTP2Protocol, protocol_arguments, stream_of
from .options import for_target
from .task_group import TaskGroup


class HTTP2Session:
    """Serves HTTP/2 on a client's socket; the port of Hypercorn's protocol, too.

    Args:
        client: the connection.
    """

    def __init__(self, client: ClientSocket) -> None:
        self._client = client
        self._protocol: HTTP2Protocol | None = None

    async def run(self, received: bytes = b"") -> None:
        """Serve until the client leaves.

        Args:
            received: the first bytes, with the preface.
        """
        try:
            async with trio.open_nursery() as nursery:
                await self._serve(self._speak(nursery), received)
        finally:
            # The objects of a connection refer to each other in cycles; separated, they are freed at once.
            self._protocol = None

    def _speak(self, nursery: trio.Nursery) -> HTTP2Protocol:
        client, server = self._client, self._client.server
        arguments = protocol_arguments(
            self._run_app,
            server.config,
            server.hypercorn,
            TaskGroup(nursery, self._run_app, client.close_output),
            server.state,
            self,
            is_tls=client.url_scheme == "https",
            client=client.address,
            server=client.own_address,
        )
        self._protocol = protocol = HTTP2Protocol(client.output, request_slice().pause, arguments)
        client.revoke_also(protocol.revoke)
        if server.hypercorn.is_draining:
            protocol.begin_drain()
        return protocol

    def begin_drain(self) -> None:
        """Refuse new requests, and end the connection after those that are being answered."""
        if self._protocol is not None:
            self._protocol.begin_drain()

    def go_away(self) -> None:
        """Tell the client which request is the last that is answered (GOAWAY)."""
        if self._protocol is not None:
            self._protocol.go_away()

    async def _serve(self, protocol: HTTP2Protocol, received: bytes) -> None:
        client, limiter = self._client, self._client.server.limiter
        await protocol.initiate()
        data = received
        if not data:
            client.expect_first_byte()
            data = await self._read()
            client.begin_setup()
            await limiter.setup_turn()
        client.start_idle()
        while data:
            if not client.output.closed:
                await protocol.receive_data(data)
            data = await self._read()
        client.timer.stop()
        await limiter.teardown_turn()
        await protocol.receive_data(b"")
        client.revoke()
        await protocol.notify_disconnect()

    async def _read(self) -> bytes:
        client = self._client
        if client.output.closed:  # TLS decrypts no more after its close_notify
            return await client.receive()
        await trio.lowlevel.checkpoint()
        return await client.read()

    async def _run_app(self, scope: Any, receive: Any, send: Any) -> None:
        """Run the application, with the transport in the scope's extensions."""
        client, protocol, stream = self._client, self._protocol, stream_of(send)
        assert protocol is not None
        scope.setdefault("extensions", {})[CONNECTION_EXTENSION] = HTTP2Stream(
            protocol, stream, client.output
        )
        if client.tcp_proxy is not None:
            scope[TCP_PROXY] = client.tcp_proxy
        stream_id = stream.stream_id
        del stream  # the application may run for hours
        try:
            await for_target(client.server.app, scope)(scope, receive, send)
        except Exception:
            await protocol.fail_unfinished(stream_id)
            raise
        await protocol.fail_unfinished(stream_id)

    # --- the port of the protocol -----------------------------------------------------------------

    async def write(self, data: bytes) -> None:
        """Send bytes of the protocol; where that fails, tell it that the client has left."""
        with suppress(trio.ClosedResourceError):
            await self._client.output.send(data)
            return
        self._client.revoke()
        await self._notify_disconnect()

    def set_idle(self, idle: bool) -> None:
        """Start the keep-alive timeout where no request is in progress, or stop it."""
        if idle:
            self._client.start_idle()
        elif not self._client.output.closed:  # then the timer bounds what is left of the connection
            self._client.timer.stop()

    async def finish(self) -> None:
        """Close the output after all that was written has been sent; :meth:`run` then discards input."""
        if not self._client.output.closed:
            await self._client.finish()
            self._client.start_lingering()
        await self._notify_disconnect()

    async def _notify_disconnect(self) -> None:
        if self._protocol is not None:
            await self._protocol.notify_disconnect()
