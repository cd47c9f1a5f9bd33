"""streamd inside a Quart-Trio application: the extension, and what a service adds to it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs
import structlog
import trio
from quart import Blueprint
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioRequest

from .clock import SteadyClock
from .computing.processes import WorkerProcesses
from .connections import Census, Registry
from .database import Database
from .errors import StreamdError
from .events import EventId, Selectors
from .http import EventStream, EventStreamHTTPConnection
from .http.current import EXTENSION
from .http.guard import Guard, GuardPolicy
from .http.problems import handle_streamd_error
from .http.push_back import PushBackRequest
from .http.routes.operations import StateCollector
from .http.stream_routes import StreamView, stream_route
from .http.task_stream import task_stream
from .http.websockets import WebSocketConnection
from .hub import Hub
from .log.port import Log
from .metrics import Metrics
from .runtime import Runtime, RuntimeSettings
from .tasks import Kind, Tasks

if TYPE_CHECKING:
    from .redis import RedisStore

_API: Final = "streamd_events"
"""The blueprint with which an application serves streamd's API."""
_log = structlog.get_logger(__name__)


@attrs.frozen
class Service:
    """One service: its routes, the kinds of its tasks, and its background work.

    Args:
        blueprint: the routes.
        kinds: task kinds to register.
        run: background work, started with the application and cancelled when it stops.
        apply_settings: called with the settings that changed while the application runs.
        reserved: the beginnings of the topics that only the service publishes, such as ``sentiment/``.
    """

    blueprint: Blueprint
    kinds: Sequence[Kind] = ()
    run: Callable[[], Awaitable[None]] | None = None
    apply_settings: Callable[[Any], None] | None = None
    reserved: Sequence[str] = ()


class Streamd:
    """streamd as an extension of a Quart-Trio application.

    Create it with ``streamd = Streamd(app)``, then call ``await streamd.publish(...)`` anywhere and
    ``return streamd.event_stream(...)`` in a view. Its runtime starts and stops with the application's
    lifespan, in a nursery outside the application's own.

    Args:
        app: the application; or call :meth:`init_app` later.
        settings: limits and intervals; defaults to ``RuntimeSettings()``.
        log: the event log; defaults to the one that ``settings.log.url`` names.
        clock: decides leases, deadlines and retention; defaults to one beside the system's wall clock.

    Attributes:
        runtime: the engine's container. Code outside streamd uses the properties below instead.
        guard: checks every request of the application, see :mod:`streamd.http.guard`.
        redis: the way to the keys of Redis, if nodes share what the services keep; set before services are
            made. None: they keep it in the database.

    Raises:
        ConfigError: the settings name an unknown log or store.
    """

    def __init__(
        self,
        app: QuartTrio | None = None,
        *,
        settings: RuntimeSettings | None = None,
        log: Log | None = None,
        clock: SteadyClock | None = None,
    ) -> None:
        self.runtime = Runtime.create(settings or RuntimeSettings(), log, clock)
        self.runtime.broker.metrics.registry.register(StateCollector(self.runtime.broker))
        self.redis: RedisStore | None = self.runtime.redis
        self.guard = Guard(None, self.metrics, GuardPolicy.from_settings(self.settings))
        self._app: QuartTrio | None = None
        self._running = False
        self._sources: list[Callable[[], Any]] = []
        self._services: list[Service] = []
        if app is not None:
            self.init_app(app)

    def init_app(self, app: QuartTrio) -> None:
        """Let views of ``app`` return streams, answer streamd's errors, and run with the app's lifespan."""
        self._app = app
        app.extensions[EXTENSION] = self
        app.asgi_http_class = EventStreamHTTPConnection
        app.asgi_websocket_class = WebSocketConnection
        if app.request_class is TrioRequest:
            app.request_class = PushBackRequest
        app.register_error_handler(StreamdError, handle_streamd_error)
        self.guard.inner = _WithLifespan(app.asgi_app, self)
        app.asgi_app = self.guard  # type: ignore[assignment,method-assign]

    def add(self, service: Service) -> None:
        """Register a service's kinds, routes and background work. Call it before the application runs.

        Raises:
            RuntimeError: there is no application yet; call :meth:`init_app` first.
        """
        if self._app is None:
            raise RuntimeError("Streamd.add needs an application: call init_app(app) first")
        for kind in service.kinds:
            self.tasks.register(kind)
        self.runtime.access.reserved.add(*service.reserved)
        self._app.register_blueprint(service.blueprint)
        self._services.append(service)
        if service.run is not None:
            self._sources.append(service.run)

    @property
    def settings(self) -> RuntimeSettings:
        """The settings: a :class:`streamd.settings.Settings` in the streamd server."""
        return self.runtime.settings

    @property
    def root_path(self) -> str:
        """The URL prefix of the settings (``server.root_path``), for URLs in events, which all clients get.

        URLs in answers have the prefix of their request, see :func:`streamd.http.public_url`.
        """
        server: Any = getattr(self.settings, "server", None)  # settings of a program may lack the section
        return server.root_path if server is not None else ""

    @property
    def tasks(self) -> Tasks:
        """The tasks: create, follow and end them; see :class:`streamd.tasks.Tasks`."""
        return self.runtime.tasks

    @property
    def connections(self) -> Registry:
        """The connections of this node: list, send to one client, broadcast, close."""
        return self.runtime.broker.connections

    @property
    def census(self) -> Census:
        """The connections of all nodes that share the log: list, send to one client, broadcast, close."""
        return self.runtime.census

    @property
    def database(self) -> Database:
        """The database that also keeps the tasks."""
        return self.runtime.database

    @property
    def processes(self) -> WorkerProcesses:
        """The processes that read large texts; see :class:`streamd.computing.computer.Computer`."""
        return self.runtime.processes

    @property
    def metrics(self) -> Metrics:
        """The Prometheus metrics; a service registers its own in ``metrics.registry``."""
        return self.runtime.broker.metrics

    @property
    def hub(self) -> Hub:
        """The hub, for publishing drafts in one batch."""
        return self.runtime.broker.hub

    @property
    def head(self) -> EventId:
        """The newest event's id."""
        return self.runtime.broker.log.head

    async def publish(
        self,
        topics: str | Sequence[str],
        data: Any = "",
        *,
        type: str | None = None,
        retry_ms: int | None = None,
        idempotency_key: str | None = None,
        private: bool = False,
    ) -> EventId:
        """Publish one event; see :meth:`streamd.hub.Hub.publish`."""
        return await self.hub.publish(
            topics,
            data,
            type=type,
            retry_ms=retry_ms,
            idempotency_key=idempotency_key,
            private=private,
        )

    def event_stream(
        self,
        source: str | Iterable[str] | Selectors | AsyncIterator[Any] = (),
        **options: Any,
    ) -> EventStream:
        """Build the response with which a view streams events; see :class:`streamd.http.EventStream`."""
        return EventStream(source, **options)

    def stream_route(self, rule: str) -> Callable[[StreamView], StreamView]:
        """Add a view that returns a stream, which is served over all transports.

        See :func:`streamd.http.stream_route`, which also adds to a blueprint.

        Raises:
            RuntimeError: there is no application yet; call :meth:`init_app` first.
        """
        if self._app is None:
            raise RuntimeError("Streamd.stream_route needs an application: call init_app(app) first")
        return stream_route(self._app, rule)

    async def task_stream(self, task_id: str, **options: Any) -> EventStream:
        """Build the response with which a view streams a task; see :func:`streamd.http.task_stream`."""
        return await task_stream(task_id, **options)

    @asynccontextmanager
    async def running(self, *sources: Callable[[], Any]) -> AsyncIterator[None]:
        """Run the runtime, the services' background work and ``sources`` until the block ends.

        Leaving the block cancels the services first, then the runtime, which loses no published event.
        """
        async with trio.open_nursery() as outer:
            await outer.start(self.runtime.run)
            async with trio.open_nursery() as nursery:  # stops first: services use the runtime
                for source in (*self._sources, *sources):
                    nursery.start_soon(source)
                self._running = True
                try:
                    yield
                finally:
                    self._running = False
                    nursery.cancel_scope.cancel()
            outer.cancel_scope.cancel()

    def apply_settings(self, settings: RuntimeSettings) -> None:
        """Apply settings that change while the application runs, in the runtime and in the services.

        Args:
            settings: those in effect, with changes of settings declared with ``reload`` alone; see
                :func:`streamd.config.plan_reload`.
        """
        self.runtime.apply_settings(settings)
        self.guard.apply_settings(settings)
        for service in self._services:
            if service.apply_settings is not None:
                service.apply_settings(settings)

    async def drain(self, seconds: float) -> None:
        """Shut down gracefully: reject new connections and claims, and wait until the present ones are gone.

        Workers that wait for a task are answered at once. No further task is started in this process.

        Args:
            seconds: deadline for the connections, see :meth:`streamd.connections.Registry.drain` (s).
        """
        self.tasks.close_claims(self.settings.connections.retry_after_seconds)
        await self.connections.drain(seconds)

    @property
    def serves_api(self) -> bool:
        """True if the application has the routes of streamd's API, not only views of its own."""
        return self._app is not None and _API in self._app.blueprints

    def warn_if_open(self) -> None:
        """Log a warning if a foreign server, whose addresses are not known, serves the API without keys."""
        if self.serves_api and self.runtime.access.is_open:
            _log.warning("server_is_open", reason="there are no keys: every caller may publish and read")

    @property
    def is_running(self) -> bool:
        """True inside :meth:`running`."""
        return self._running


class _WithLifespan:
    """An ASGI application that runs its :class:`Streamd` around the lifespan, unless it runs already."""

    def __init__(self, inner: Any, streamd: Streamd) -> None:
        self._inner = inner
        self._streamd = streamd

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        if scope["type"] == "lifespan" and not self._streamd.is_running:
            return self._run(scope, receive, send)
        passed_on: Awaitable[None] = self._inner(scope, receive, send)
        return passed_on

    async def _run(self, scope: Any, receive: Any, send: Any) -> None:
        self._streamd.warn_if_open()
        async with self._streamd.running():
            await self._inner(scope, receive, send)
