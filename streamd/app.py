"""The composition root: builds the server's application, and imports the application of a program."""

import importlib
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio
from quart import Quart
from quart.json.provider import DefaultJSONProvider
from quart_trio import QuartTrio

from . import __version__
from .clock import SteadyClock
from .config import SettingsError
from .demo import run_demo
from .errors import ConfigError
from .events import EventId
from .extension import Service, Streamd
from .http.current import EXTENSION
from .http.guard import GuardPolicy, make_cors
from .http.hot.door import HotRoutes
from .http.limits import limit_requests
from .http.observe import observe_requests
from .http.openapi import Document, SchemaExtension
from .http.origins import allow_origins
from .http.problems import use_problems
from .http.rejections import use_rejections
from .http.routes.auth import auth
from .http.routes.connections import connections
from .http.routes.events import events
from .http.routes.operations import operations
from .http.routes.page import web
from .http.routes.tasks import tasks
from .limits import AddressCounting
from .log.port import Log
from .proxies import TrustedProxies, resolve_clients
from .server import Certificates, serve
from .services import SERVICES
from .settings import Settings
from .transports.asgi import ENTRY


def create_app(
    settings: Settings | None = None, *, log: Log | None = None, clock: SteadyClock | None = None
) -> QuartTrio:
    """Build the streamd server as an ASGI application: the API, the services, the page, ``/openapi.json``.

    Raises:
        ConfigError: the settings name an unknown log or store.
        SettingsError: settings or files of services cannot be used; it has all of these.
    """
    app, mistakes = build_app(settings or Settings(), log=log, clock=clock)
    if mistakes:
        raise SettingsError.of(mistakes)
    return app


def build_app(
    settings: Settings, *, log: Log | None = None, clock: SteadyClock | None = None
) -> tuple[QuartTrio, list[ConfigError]]:
    """Build the application of :func:`create_app`; return it with the mistakes of services that it lacks.

    Raises:
        ConfigError: the settings name an unknown log or store.
    """
    app = QuartTrio("streamd")
    app.config["MAX_CONTENT_LENGTH"] = settings.events.max_body_bytes
    app.url_map.merge_slashes = False  # it would redirect "/tasks/%2Fa" to another task, "/tasks/a"
    SchemaExtension(
        app,
        info={"title": "streamd", "version": __version__},
        swagger_ui_path=None,
        redoc_ui_path=None,
        scalar_ui_path=None,
        conversion_preference="msgspec",
        openapi_provider_class=Document,
    )
    assert isinstance(app.json, DefaultJSONProvider)  # the extension has just put its own there
    app.json.sort_keys = False  # fields come in the order they are documented in
    streamd = Streamd(app, settings=settings, log=log, clock=clock)
    use_problems(app)
    use_rejections(app)
    observe_requests(app, streamd.metrics)
    cors = make_cors(settings.server)
    allow_origins(app, cors)
    for blueprint in (events, operations, connections, tasks, auth, web):
        app.register_blueprint(blueprint)
    limited = limit_requests(app, streamd.runtime.broker.limits)
    mistakes = []
    for name in SERVICES:
        if getattr(settings, name).enabled:
            try:
                streamd.add(_make_service(name, streamd, getattr(settings, name)))
            except ConfigError as error:
                mistakes.append(error)
    limited.document()
    streamd.guard.inner = HotRoutes(streamd.guard.inner, app, streamd.runtime, cors, limited.find)
    streamd.guard.policy = GuardPolicy.from_settings(settings, checks_default_hosts=True)
    streamd.guard.checks_targets = True
    # Outermost, so that another ASGI server than streamd's suffices.
    resolved = resolve_clients(streamd.guard, settings.server.trusted_proxies, settings.server.root_path)
    app.asgi_app = streamd.guard.entry = resolved  # type: ignore[assignment,method-assign]
    return app, mistakes


def _make_service(name: str, streamd: Streamd, settings: Any) -> Service:
    module = importlib.import_module(f".services.{name}.service", __package__)
    service: Service = module.make(streamd, settings)
    return service


@asynccontextmanager
async def running(app: QuartTrio, *, with_demo: bool = True) -> AsyncIterator[Streamd]:
    """Run an application's streamd, and the demo source if its settings enable it, until the block ends.

    Args:
        app: the application.
        with_demo: False where another process of the server publishes the demo source.
    """
    streamd: Streamd = app.extensions[EXTENSION]
    demo = Settings.around(streamd.settings).demo
    sources = []
    if with_demo and (demo.enabled or demo.follow):

        async def publish(topic: str, data: Any, *, type: str) -> EventId:
            return await streamd.publish(topic, data, type=type)

        sources.append(lambda: run_demo(publish, demo))
    async with streamd.running(*sources):
        yield streamd


async def serve_app(
    app: QuartTrio,
    settings: Settings,
    *,
    wait_for_shutdown: Callable[[], Awaitable[None]] = trio.sleep_forever,
    certificates: Certificates | None = None,
    sockets: Sequence[socket.socket] | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an application inside :func:`running`, and shut it down gracefully.

    Args:
        app: the application.
        settings: those to serve it with.
        wait_for_shutdown, certificates, sockets: as for :func:`streamd.server.serve`.

    ``task_status.started`` is called with the addresses once connections are accepted.
    """
    streamd: Streamd = app.extensions[EXTENSION]
    proxies = TrustedProxies.create(settings.server.trusted_proxies)
    streamd.connections.address_counting = AddressCounting(proxies)
    streamd.guard.apply_settings(settings)
    await serve(
        entry_of(app),
        settings.server,
        max_message_bytes=settings.connections.max_message_bytes,
        wait_for_shutdown=wait_for_shutdown,
        drain=streamd.drain,
        metrics=streamd.metrics,
        certificates=certificates,
        sockets=sockets,
        task_status=task_status,
    )


def entry_of(app: QuartTrio) -> Callable[[Any, Any, Any], Awaitable[None]]:
    """Return the entry of the server into an application: without a coroutine of its own where possible.

    ``Quart.__call__`` does nothing but await ``asgi_app``. A program's class may have another one.
    """
    if type(app).__call__ is not Quart.__call__:
        return app

    def call(scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        scope[ENTRY] = entry = app.asgi_app  # which a program may replace at any time
        return entry(scope, receive, send)

    return call


@attrs.frozen
class ImportedApp:
    """A program's own application.

    Args:
        app: the application.
        settings: those to serve it with.
        is_object: the program made it with its own settings; otherwise a function took the configured ones.
    """

    app: QuartTrio
    settings: Settings
    is_object: bool


def import_app(target: str, settings: Settings) -> ImportedApp:
    """Import a program's own application, to be served by streamd.

    Args:
        target: ``module:name`` of an application with a :class:`Streamd`, or of a function that takes the
            settings and returns one. The current folder is searched too.
        settings: the configured settings. An application object has settings of its own; then only the
            server and logging sections of these apply.

    Raises:
        ConfigError: there is no such application, or the settings contain values that it cannot apply.
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
    is_object = isinstance(found, QuartTrio)
    app = found if is_object else found(settings) if callable(found) else None
    if not isinstance(app, QuartTrio) or EXTENSION not in app.extensions:
        raise ConfigError(f"--app {target} is no Quart-Trio application with a Streamd(app)")
    own = Settings.around(app.extensions[EXTENSION].settings)
    if is_object:
        return ImportedApp(app, configure_object(target, own, settings), is_object)
    return ImportedApp(app, _served(own, settings), is_object)


def configure_object(target: str, own: Settings, configured: Settings) -> Settings:
    """Return the settings to serve an application object with: its own, and the sections of the server.

    Raises:
        ConfigError: other sections are configured, which such an application cannot apply.
    """
    if configured.store.url == "memory:" and not own.store.url:  # both mean the store in memory
        configured = attrs.evolve(configured, store=attrs.evolve(configured.store, url=own.store.url))
    if configured not in (_served(own, configured), _served(Settings(), configured)):
        raise ConfigError(
            f"--app {target} was made with settings of its own; to apply any but [server] and [logging], name"
            " a function that takes the settings and makes the application"
        )
    return _served(own, configured)


def _served(own: Settings, configured: Settings) -> Settings:
    """Return settings of an application with the configured sections of the server."""
    return attrs.evolve(own, server=configured.server, logging=configured.logging)
