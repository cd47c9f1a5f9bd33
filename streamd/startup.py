"""The start of ``streamd serve``: its settings, and the checks of everything that they need.

``streamd config check`` prepares a start in the same way, and so finds what would prevent it.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs

from .app import build_app, configure_object, import_app
from .auth import AuthSettings
from .auth.keys import check_keys
from .config import Loaded, SettingsError, load, parse_bind
from .errors import ConfigError
from .extension import Streamd
from .http.current import EXTENSION
from .http.hosts import is_loopback
from .redis.address import is_redis_url
from .server import check_addresses, check_certificate, check_open_files, raise_open_files
from .settings import Settings

DEFAULT_STORE: Final = "sqlite:streamd.db"
"""The store of `streamd serve` without a setting: a file in the working directory."""


@attrs.frozen
class Start:
    """A start that nothing known prevents.

    Args:
        loaded: the settings with their sources.
        settings: those to serve with.
        app: the application.
        is_object: a program made the application with settings of its own.
    """

    loaded: Loaded[Settings]
    settings: Settings
    app: Any
    is_object: bool = False


def prepare_start(
    file: Path | None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
    target: str | None = None,
    workers: int = 1,
    *,
    opens_sockets: bool = True,
) -> Start:
    """Load the settings, build the application, and check everything that the start needs.

    Nothing is created. Addresses and a store that are in use pass: this may be the server that uses them.

    Args:
        file, environ, overrides: the sources of the settings, see :func:`streamd.config.load`.
        target: a program's own application, see :func:`streamd.app.import_app`; None for streamd's.
        workers: number of processes that will serve.
        opens_sockets: False if the server gets listening sockets: it might not be permitted to open them.

    Raises:
        SettingsError: names every mistake of the settings, and of the files and addresses that they name.
        ConfigError: there is no such application of a program.
    """
    apps: list[Any] = []

    def find_mistakes(settings: Settings) -> Iterator[ConfigError]:
        yield from _check_server(settings, opens_sockets=opens_sockets)
        if target is None:
            yield from check_access(settings)
            yield from check_shared_log(with_store(settings), workers)
            if any(check_keys(settings.auth)):  # reported already
                settings = attrs.evolve(settings, auth=AuthSettings())
            try:
                app, mistakes = build_app(with_store(settings))
            except ConfigError as error:  # of the log or the store
                yield error
            else:
                apps.append(app)
                yield from mistakes
                yield from _check_limits(settings, app)

    loaded = load(Settings, file, environ, overrides, find_mistakes)
    if target is None:
        return Start(loaded, with_store(loaded.settings), apps[0])
    imported = import_app(target, loaded.settings)
    mistakes = [
        *_check_access_of(imported.settings, imported.app),
        *check_shared_log(imported.settings, workers),
        *_check_limits(imported.settings, imported.app),
    ]
    if mistakes:
        raise SettingsError.of(mistakes)
    return Start(loaded, imported.settings, imported.app, imported.is_object)


def prepare_reload(
    start: Start,
    file: Path | None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
    target: str | None = None,
    *,
    opens_sockets: bool = True,
) -> Settings:
    """Load and check the settings again for a server that runs.

    The application of a program is not imported again, and keeps the sections that it made itself.

    Args:
        start: of the running server.
        file, environ, overrides, target, opens_sockets: as for :func:`prepare_start`.

    Raises:
        SettingsError: names every mistake, as for another start; of a program's application only those that
            show without importing it again.
    """
    if target is None:
        return prepare_start(file, environ, overrides, opens_sockets=opens_sockets).settings

    def serve_with(settings: Settings) -> Settings:
        if start.is_object:
            return configure_object(target, start.settings, settings)
        configured = {
            field.name: getattr(settings, field.name)
            for field in attrs.fields(Settings)
            if getattr(start.settings, field.name) == getattr(start.loaded.settings, field.name)
        }
        return attrs.evolve(start.settings, **configured)

    def find_mistakes(settings: Settings) -> Iterator[ConfigError]:
        yield from _check_server(settings, opens_sockets=opens_sockets)
        try:
            served = serve_with(settings)
        except ConfigError as error:
            yield error
        else:
            yield from _check_access_of(served, start.app)
            yield from _check_limits(served, start.app)

    return serve_with(load(Settings, file, environ, overrides, find_mistakes).settings)


def _check_server(settings: Settings, *, opens_sockets: bool) -> Iterator[ConfigError]:
    """Yield the mistakes in the addresses, the certificate and the keys of tokens."""
    if opens_sockets:
        yield from check_addresses(settings.server)
    yield from check_certificate(settings.server)
    yield from check_keys(settings.auth)


def check_access(settings: Settings) -> Iterator[ConfigError]:
    """Yield an error if other machines can reach a server without keys, and nobody has said that they may."""
    if settings.auth.has_keys or settings.auth.open:
        return
    for bind in settings.server.bind:
        try:
            host, _ = parse_bind(bind)
        except ValueError:  # reported with the settings
            continue
        if not is_loopback(host):
            yield ConfigError(
                f"server.bind: other machines reach {bind}, and without keys every caller could publish and "
                "read everything; set auth.keys, auth.key_file or auth.jwks_url, or auth.open = true",
                field="server.bind",
            )


def _check_access_of(settings: Settings, app: Any) -> Iterator[ConfigError]:
    """Yield the error of :func:`check_access` for a program's application that serves streamd's API."""
    streamd: Streamd = app.extensions[EXTENSION]
    if streamd.serves_api:
        yield from check_access(settings)


def with_store(settings: Settings) -> Settings:
    """Return the settings with the store that `streamd serve` uses if they name none."""
    if settings.store.url:
        return settings
    url = settings.log.url if is_redis_url(settings.log.url) else DEFAULT_STORE
    return attrs.evolve(settings, store=attrs.evolve(settings.store, url=url))


def check_shared_log(settings: Settings, workers: int) -> Iterator[ConfigError]:
    """Yield an error for the log and the store, if several processes cannot share them.

    Args:
        settings: those to serve with.
        workers: number of processes.
    """
    if workers == 1:
        return
    urls = {"log.url": settings.log.url} if settings.log.url else {}  # empty: as store.url
    urls["store.url"] = settings.store.url or "memory:"
    for field, url in urls.items():
        if not is_redis_url(url):
            yield ConfigError(
                f"{field}: {workers} processes (--workers) need a log that they share, such as "
                f"redis://localhost:6379; {url} is for one process",
                field=field,
            )


def _check_limits(settings: Settings, app: Any) -> Iterator[ConfigError]:
    """Yield the mistakes in the limit of connections, and in the files of the store and the log."""
    streamd: Streamd = app.extensions[EXTENSION]
    checks: tuple[Callable[[], None], ...] = (
        partial(check_open_files, settings.connections.max_connections, raise_open_files()),
        *(database.check for database in streamd.runtime.storage.databases),
    )
    for check in checks:
        try:
            check()
        except ConfigError as error:
            yield error
