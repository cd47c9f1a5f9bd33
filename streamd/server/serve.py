"""Serving an ASGI application: listeners, the accept loop, and the way down."""

from collections.abc import Awaitable, Callable
from functools import partial

import structlog
import trio
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState, LifespanState
from hypercorn.utils import wrap_app

from ..config import Settings
from ..metrics import Metrics
from .accept import Listener
from .connection import ServerConnection, ServerContext
from .listeners import address_of, make_config, open_sockets
from .live import LiveConnections
from .loop_passes import LoopPassLimiter

_log = structlog.get_logger(__name__)


async def serve(
    app: ASGIFramework,
    settings: Settings,
    *,
    wait_for_shutdown: Callable[[], Awaitable[None]] = trio.sleep_forever,
    drain: Callable[[float], Awaitable[None]] | None = None,
    metrics: Metrics | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until ``wait_for_shutdown`` returns; then drain, and return when every socket is closed.

    Args:
        app: an ASGI application.
        settings: where to listen, and the bounds.
        wait_for_shutdown: returns when it is time to stop.
        drain: tells clients to leave, given the seconds there are; whoever is connected when it
            returns is cut off.
        metrics: where pauses of accepting are counted; of its own when left out.

    ``task_status.started`` is called with the addresses once connections are accepted. Cancelled, it
    closes everything at once.

    Raises:
        ConfigError: an address or the certificate cannot be used.
    """
    config = make_config(settings.server, settings.connections.max_message_bytes)
    wrapped = wrap_app(app, config.wsgi_max_body_size, "asgi")
    state: LifespanState = {}
    lifespan = Lifespan(wrapped, config, state)
    context = WorkerContext(None)
    live: LiveConnections[ServerConnection] = LiveConnections()
    pace = LoopPassLimiter(settings.server.arrivals_each_pass)
    shared = ServerContext(app, config, context, ConnectionState(state), live, settings.server, pace)
    metrics = metrics or Metrics(max_type_labels=settings.metrics.max_type_labels)
    sockets, tls = open_sockets(settings.server, config)
    addresses = [address_of(sock, "http" if tls is None else "https") for sock in sockets]
    listeners = [
        Listener(sock, tls, partial(ServerConnection, shared), settings.server, metrics) for sock in sockets
    ]
    async with trio.open_nursery() as lifespan_nursery:
        lifespan_nursery.start_soon(pace.run)
        await lifespan_nursery.start(lifespan.handle_lifespan)
        await lifespan.wait_for_startup()
        async with trio.open_nursery() as connections:
            try:
                async with trio.open_nursery() as accepting:
                    await accepting.start(
                        partial(
                            trio.serve_listeners, ServerConnection.run, listeners, handler_nursery=connections
                        )
                    )
                    task_status.started(addresses)
                    await wait_for_shutdown()
                    accepting.cancel_scope.cancel()  # closes the listeners
                _log.info("shutting down", connections=len(live))
                if drain is not None:
                    await drain(settings.server.drain_seconds)
                await _end_connections(context, live, settings.server.grace_seconds)
            finally:
                # Also when cancelled: a write under way is shielded, and would last for its timeout.
                for connection in list(live):
                    connection.abort()
        await lifespan.wait_for_shutdown()
        lifespan_nursery.cancel_scope.cancel()


async def _end_connections(
    context: WorkerContext, live: LiveConnections[ServerConnection], grace_seconds: float
) -> None:
    """Let answers that are under way go out, and wait for their sockets to be closed."""
    await context.terminated.set()  # answers that end now end their connections
    for connection in list(live):
        connection.close_if_idle()
    with trio.move_on_after(grace_seconds):
        await live.wait_empty()
