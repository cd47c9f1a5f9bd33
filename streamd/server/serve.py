"""Serving an ASGI application: listeners, the accept loop and graceful shutdown."""

import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Final, NoReturn

import structlog
import trio
from hypercorn.typing import ASGIFramework, ConnectionState, LifespanState

from ..connections import ConnectionSettings
from ..metrics import Metrics, MetricsSettings
from ..proxies import TrustedProxies, resolve_clients
from .accept import Listener
from .address_slots import AddressSlots
from .certificates import Certificates
from .connection import ServerConnection, serve_connection
from .context import ServerContext
from .hypercorn_internals import ASGILifespan, HypercornContext
from .listeners import address_of, make_config, open_sockets
from .live import LiveConnections
from .loop_passes import LoopPassLimiter
from .settings import ServerSettings
from .timeouts import ConnectionTimeouts
from .watcher import DisconnectWatcher

_log = structlog.get_logger(__name__)
# Clients that are noticed to have left: each takes some 15 µs, leaves the hub, and waits to be torn down.
_NOTICED_EACH_PASS: Final = 32


async def serve(
    app: ASGIFramework,
    settings: ServerSettings,
    *,
    max_message_bytes: int = ConnectionSettings().max_message_bytes,
    wait_for_shutdown: Callable[[], Awaitable[None]] = trio.sleep_forever,
    drain: Callable[[float], Awaitable[None]] | None = None,
    metrics: Metrics | None = None,
    certificates: Certificates | None = None,
    sockets: Sequence[socket.socket] | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until ``wait_for_shutdown`` returns; then drain, and return when every socket is closed.

    Args:
        app: an ASGI application.
        settings: addresses and limits.
        max_message_bytes: maximum size of a message from a WebSocket client.
        wait_for_shutdown: returns when it is time to stop.
        drain: asks clients to leave, and gets the time for that (s); connections that remain when it
            returns are closed.
        metrics: counts the pauses of accepting; the server makes its own when left out.
        certificates: the certificate, for a caller that replaces it; those of the settings when left out.
        sockets: listening ones to accept from, in place of ``settings.bind``; they are closed at the end.

    ``task_status.started`` is called with the addresses once connections are accepted. Cancelling closes
    every connection at once.

    Raises:
        ConfigError: an address or the certificate cannot be used.
    """
    config = make_config(settings, max_message_bytes)
    state: LifespanState = {}
    lifespan = ASGILifespan(app, config, state)
    hypercorn = HypercornContext()
    live: LiveConnections[ServerConnection] = LiveConnections()
    limiter = LoopPassLimiter(settings.arrivals_each_pass)
    timeouts = ConnectionTimeouts()
    metrics = metrics or Metrics(max_type_labels=MetricsSettings().max_type_labels)
    certificates = certificates or Certificates(settings)
    if sockets is None:
        sockets = open_sockets(settings)
    addresses = [address_of(sock, "https" if certificates.tls_context else "http") for sock in sockets]
    with closing(DisconnectWatcher(_NOTICED_EACH_PASS)) as watcher:
        async with trio.open_nursery() as lifespan_nursery:
            lifespan_nursery.start_soon(limiter.run)
            lifespan_nursery.start_soon(watcher.run)
            lifespan_nursery.start_soon(timeouts.run)
            await lifespan_nursery.start(lifespan.handle_lifespan)
            await lifespan.wait_for_startup()
            async with trio.open_nursery() as connections:
                trusted = TrustedProxies.create(settings.trusted_proxies)
                slots = AddressSlots(trusted, settings.max_connections_per_address, metrics)
                context = ServerContext(
                    app=resolve_clients(app, settings.trusted_proxies, settings.root_path),
                    config=config,
                    hypercorn=hypercorn,
                    state=ConnectionState(state),
                    live=live,
                    settings=settings,
                    limiter=limiter,
                    slots=slots,
                    trusted=trusted,
                    max_message_bytes=max_message_bytes,
                    watcher=watcher,
                    timeouts=timeouts,
                )
                accepted = partial(partial, serve_connection, context)
                listeners = [
                    Listener(sock, certificates, accepted, settings, metrics, slots, timeouts)
                    for sock in sockets
                ]
                try:
                    async with trio.open_nursery() as accepting:
                        for listener in listeners:
                            accepting.start_soon(_accept, listener, connections)
                        task_status.started(addresses)
                        await wait_for_shutdown()
                        accepting.cancel_scope.cancel()  # closes the listeners
                    _log.info("shutdown_started", connections=len(live))
                    hypercorn.is_draining = True
                    for connection in list(live):
                        connection.begin_drain()
                    if drain is not None:
                        await drain(settings.drain_seconds)
                    await _end_connections(hypercorn, live, settings.grace_seconds)
                finally:
                    # Also when cancelled: a write in progress is shielded, and would last until its timeout.
                    for connection in list(live):
                        connection.abort()
            await lifespan.wait_for_shutdown()
            lifespan_nursery.cancel_scope.cancel()


async def _accept(listener: Listener, connections: trio.Nursery) -> NoReturn:
    """Accept connections until cancelled, and serve them in another nursery.

    A connection closes itself. ``trio.serve_listeners`` would close it once more, in two cancel scopes, which
    is a fifth of the calls of a connect.
    """
    async with listener:
        while True:
            serve = await listener.accept()
            connections.start_soon(serve, name="connection")  # a text for each would take 0.1 kB
            del serve  # the next may come in hours


async def _end_connections(
    hypercorn: HypercornContext, live: LiveConnections[ServerConnection], grace_seconds: float
) -> None:
    """Wait until answers that are in progress have been sent and their sockets are closed."""
    await hypercorn.end_keep_alive()
    for connection in list(live):
        connection.close_if_idle()
    with trio.move_on_after(grace_seconds):
        await live.wait_empty()
