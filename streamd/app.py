"""The composition root: which log, which services, which routes make one application."""

import importlib
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio
from quart_schema import QuartSchema
from quart_trio import QuartTrio

from . import __version__
from .config import Settings
from .connections import Registry
from .demo import run_demo
from .errors import ConfigError, StreamdError
from .events import EventId, Selectors
from .http import EventStream, EventStreamHTTPConnection
from .http.fast_path import DirectEvents
from .http.observe import allow_origins, observe_requests
from .http.openapi import Document
from .http.problems import handle_streamd_error, use_problems
from .http.responses import EXTENSION
from .http.routes.events import events
from .http.routes.operations import StateCollector, operations
from .http.routes.page import web
from .http.routes.tasks import task_stream, tasks
from .hub import Hub
from .log.memory import MemoryLog
from .log.port import Log
from .runtime import Runtime
from .services import SERVICES, Service
from .tasks import Tasks


def make_log(settings: Settings) -> Log:
    """The log that ``log.url`` names.

    Raises:
        ConfigError: there is no such log.
    """
    if settings.log.url == "memory:":
        return MemoryLog(settings.log)
    raise ConfigError(f"log.url is {settings.log.url!r}; this build knows memory:", field="log.url")


class Streamd:
    """streamd inside a Quart-Trio application, in the way of Quart's extensions.

    ``streamd = Streamd(app)``, then ``await streamd.publish(...)`` anywhere and
    ``return streamd.event_stream(...)`` in a view. Its services start and stop with the
    application's lifespan, in a nursery outside the application's own.

    Args:
        app: the application; or call :meth:`init_app` later.
        settings: bounds and intervals; the defaults when left out.
        log: where events are kept; what ``settings.log`` names when left out.

    Attributes:
        services: the log, the hub and the registry of connections.
    """

    def __init__(
        self, app: QuartTrio | None = None, *, settings: Settings | None = None, log: Log | None = None
    ) -> None:
        settings = settings or Settings()
        self.runtime = Runtime.create(settings, log or make_log(settings))
        self.runtime.broker.metrics.registry.register(StateCollector(self.runtime.broker))
        self._running = False
        self._sources: list[Callable[[], Any]] = []
        if app is not None:
            self.init_app(app)

    def init_app(self, app: QuartTrio) -> None:
        """Let views of ``app`` stream, answer streamd's errors, and run with its lifespan."""
        self._app = app
        app.extensions[EXTENSION] = self
        app.asgi_http_class = EventStreamHTTPConnection
        app.register_error_handler(StreamdError, handle_streamd_error)
        app.asgi_app = _WithLifespan(app.asgi_app, self)  # type: ignore[method-assign]

    @property
    def hub(self) -> Hub:
        return self.runtime.broker.hub

    @property
    def tasks(self) -> Tasks:
        """Long work: create, follow and end it; see :class:`streamd.tasks.Tasks`."""
        return self.runtime.tasks

    @property
    def connections(self) -> Registry:
        """Who is connected: send to one, broadcast, close, status."""
        return self.runtime.broker.connections

    async def publish(
        self,
        topics: str | Sequence[str],
        data: Any = "",
        *,
        type: str | None = None,
        retry_ms: int | None = None,
        idempotency_key: str | None = None,
    ) -> EventId:
        """Publish one event; see :meth:`streamd.hub.Hub.publish`."""
        return await self.hub.publish(
            topics, data, type=type, retry_ms=retry_ms, idempotency_key=idempotency_key
        )

    async def task_stream(self, task_id: str, **options: Any) -> EventStream:
        """What a view returns to stream a task; see :func:`streamd.http.routes.tasks.task_stream`."""
        return await task_stream(task_id, **options)

    def event_stream(
        self,
        source: str | Iterable[str] | Selectors | AsyncIterator[Any] = (),
        **options: Any,
    ) -> EventStream:
        """What a view returns to stream; see :class:`streamd.http.EventStream`."""
        return EventStream(source, **options)

    @asynccontextmanager
    async def running(self, *sources: Callable[[], Any]) -> AsyncIterator[None]:
        """Run the services, and further ``sources`` beside them, for as long as the block lasts."""
        async with trio.open_nursery() as outer:
            await outer.start(self.runtime.run)
            async with trio.open_nursery() as nursery:  # what uses the services ends before them
                for source in (*self._sources, *sources):
                    nursery.start_soon(source)
                self._running = True
                try:
                    yield
                finally:
                    self._running = False
                    nursery.cancel_scope.cancel()
            outer.cancel_scope.cancel()

    def add(self, service: Service) -> None:
        """Serve one of the services as well; before the application runs."""
        self._app.register_blueprint(service.blueprint)
        if service.run is not None:
            self._sources.append(service.run)

    @property
    def is_running(self) -> bool:
        return self._running


class _WithLifespan:
    """The application, with the services running outside its lifespan where nobody runs them yet."""

    def __init__(self, inner: Any, streamd: Streamd) -> None:
        self._inner = inner
        self._streamd = streamd

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" and not self._streamd.is_running:
            async with self._streamd.running():
                await self._inner(scope, receive, send)
        else:
            await self._inner(scope, receive, send)


def create_app(settings: Settings | None = None, *, log: Log | None = None) -> QuartTrio:
    """The streamd server as an ASGI application: the API, the page, and ``/openapi.json``."""
    settings = settings or Settings()
    app = QuartTrio("streamd")
    app.config["MAX_CONTENT_LENGTH"] = settings.events.max_body_bytes
    app.json.sort_keys = False  # type: ignore[attr-defined] # fields come in the order they are documented in
    QuartSchema(
        app,
        info={"title": "streamd", "version": __version__},
        swagger_ui_path=None,
        redoc_ui_path=None,
        scalar_ui_path=None,
        conversion_preference="msgspec",
        openapi_provider_class=Document,
    )
    streamd = Streamd(app, settings=settings, log=log)
    use_problems(app)
    observe_requests(app, streamd.runtime.broker.metrics)
    allow_origins(app, settings.server.cors_origins)
    for blueprint in (events, operations, tasks, web):
        app.register_blueprint(blueprint)
    for name in SERVICES:
        if getattr(settings, name).enabled:
            streamd.add(_make_service(name, streamd.runtime))
    direct = DirectEvents(app.asgi_app, app, streamd.runtime.broker, settings.server.cors_origins)
    app.asgi_app = direct  # type: ignore[assignment,method-assign]
    return app


def _make_service(name: str, runtime: Runtime) -> Service:
    module = importlib.import_module(f".services.{name}", __package__)
    service: Service = module.make(runtime)
    return service


@asynccontextmanager
async def running(app: QuartTrio) -> AsyncIterator[Streamd]:
    """Run an application's streamd, with the sources its settings name, around a server."""
    streamd: Streamd = app.extensions[EXTENSION]
    demo = streamd.runtime.broker.settings.demo
    sources = []
    if demo.enabled or demo.follow:

        async def publish(topic: str, data: Any, *, type: str) -> EventId:
            return await streamd.publish(topic, data, type=type)

        sources.append(lambda: run_demo(publish, demo))
    async with streamd.running(*sources):
        yield streamd


def import_app(target: str, settings: Settings) -> tuple[QuartTrio, Settings]:
    """A program's own application, to be run on streamd's server, and the settings to run it with.

    Args:
        target: ``module:name``, of an application with a :class:`Streamd`, or of a function that makes
            one from the settings. The module is also looked for in the current folder.
        settings: as configured. An application that is there already has settings of its own; then
            these are for its server and its logging alone.

    Raises:
        ConfigError: there is no such application, or the settings ask for what it cannot follow.
    """
    module_name, _, name = target.partition(":")
    if not module_name or not name:
        raise ConfigError(f"--app must be MODULE:NAME, such as shop:app; got {target!r}")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module_name), name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"--app {target}: there is no module {error.name!r}") from error
    except AttributeError as error:
        raise ConfigError(f"--app {target}: {error}") from error
    made = isinstance(found, QuartTrio)
    app = found if made else found(settings) if callable(found) else None
    if not isinstance(app, QuartTrio) or EXTENSION not in app.extensions:
        raise ConfigError(f"--app {target} is no Quart-Trio application with a Streamd(app)")
    own: Settings = app.extensions[EXTENSION].runtime.broker.settings
    if settings.store.url == "memory:" and not own.store.url:  # it says the same
        settings = attrs.evolve(settings, store=attrs.evolve(settings.store, url=own.store.url))
    wanted = attrs.evolve(own, server=settings.server, logging=settings.logging)
    if made and settings not in (
        wanted,
        attrs.evolve(Settings(), server=settings.server, logging=settings.logging),
    ):
        raise ConfigError(
            f"--app {target} was made with settings of its own; for any but [server] and [logging] name a"
            " function that takes the settings and makes the application"
        )
    return app, wanted
