"""The state of a server, and what its protocols are constructed with."""

from typing import Any, Protocol

from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState, LifespanState
from hypercorn.utils import wrap_app

from ..task_group import TaskGroup


class HypercornContext(WorkerContext):
    """The state that a server shares with all of its protocols.

    Attributes:
        keeps_alive: connections are reused after an answer.
        is_draining: HTTP/2 connections accept no more requests.
    """

    def __init__(self) -> None:
        super().__init__(None)  # no maximum number of requests
        self.keeps_alive = True
        self.is_draining = False

    async def end_keep_alive(self) -> None:
        """Close each HTTP/1.1 connection after its current answer from now on."""
        self.keeps_alive = False
        await self.terminated.set()


class ASGILifespan(Lifespan):
    """The ``lifespan`` scope of an application (ASGI 3.0): its start-up and its shutdown."""

    def __init__(self, app: ASGIFramework, config: Config, state: LifespanState) -> None:
        super().__init__(wrap_app(app, config.wsgi_max_body_size, "asgi"), config, state)


class ConnectionPort(Protocol):
    """The connection, as its protocol uses it."""

    async def write(self, data: bytes) -> None:
        """Send bytes, and return when the kernel has taken them."""

    def set_idle(self, idle: bool) -> None:
        """Start the keep-alive timeout where no request is in progress, or stop it."""

    async def finish(self) -> None:
        """Close the connection after all that was written has been sent."""


def protocol_arguments(
    app: ASGIFramework,
    config: Config,
    context: HypercornContext,
    task_group: TaskGroup,
    state: ConnectionState,
    port: ConnectionPort,
    *,
    is_tls: bool,
    client: tuple[str, int] | None,
    server: tuple[str, int] | None,
) -> tuple[Any, ...]:
    """Build the arguments that Hypercorn's protocols are constructed with.

    Args:
        app: an ASGI application.
        config, context: of the server.
        task_group, port: of the connection.
        state: of the application's lifespan; each request gets a copy.
        is_tls: selects ``https`` as the scheme of its requests.
        client: address and port of the client.
        server: address and port of the connection's own end.
    """
    return app, config, context, task_group, state, is_tls, client, server, _Sink(port)


class _Sink:
    """The function by which a protocol sends events, as an object because a closure takes 200 bytes more."""

    __slots__ = ("_port",)

    def __init__(self, port: ConnectionPort) -> None:
        self._port = port

    async def __call__(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._port.write(event.data)
        elif isinstance(event, Updated):
            self._port.set_idle(event.idle)
        elif isinstance(event, Closed):
            await self._port.finish()
