"""``streamd serve``: run the server."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click
import trio

from ..app import running, serve_app
from ..errors import ConfigError, Unavailable, root_cause
from ..http.loopback import warn_of_control
from ..logs import configure_logging
from ..server import Certificates, tune_collector
from ..settings import Settings
from ..startup import prepare_reload, prepare_start
from .client_options import first_leaf
from .reload import Reloader


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="Configuration file (TOML).")
@click.option("--bind", multiple=True, metavar="HOST:PORT", help="Address to listen on; repeat for several.")
@click.option("--log", metavar="URL", help="Event log, such as memory:")
@click.option("--store", metavar="URL", help="Store of tasks, orders and items: sqlite:PATH or memory:")
@click.option("--certfile", metavar="FILE", help="TLS certificate chain (PEM); needs --keyfile.")
@click.option("--keyfile", metavar="FILE", help="TLS private key (PEM).")
@click.option("--app", metavar="MODULE:NAME", help="Serve your own application, such as shop:app.")
@click.option(
    "--log-level",
    metavar="LEVELS",
    help="Minimum severity of log lines, such as warning, or by area: connections=debug,*=info.",
)
@click.option("--demo", is_flag=True, help="Publish this machine's figures on host/metrics.")
@click.option(
    "--follow", multiple=True, metavar="PATH", help="Publish the lines of a file; repeat for several."
)
def serve(
    config: Path | None,
    bind: tuple[str, ...],
    log: str | None,
    store: str | None,
    certfile: str | None,
    keyfile: str | None,
    app: str | None,
    log_level: str | None,
    demo: bool,
    follow: tuple[str, ...],
) -> None:
    """Run the server until SIGTERM or Ctrl-C, then shut down gracefully: clients reconnect later.

    SIGHUP reloads certificates, log levels and limits, and logs which changed settings need a restart.

    Example: streamd serve --demo --follow /var/log/syslog
    """
    overrides: dict[str, Any] = {
        "server.bind": list(bind) or None,
        "log.url": log,
        "store.url": store,
        "server.certfile": certfile,
        "server.keyfile": keyfile,
        "logging.level": log_level,
        "demo.enabled": True if demo else None,
        "demo.follow": list(follow) or None,
    }
    start = prepare_start(config, os.environ, overrides, app)
    configure_logging(start.settings.logging, os.environ)
    load_again = partial(prepare_reload, start, config, os.environ, overrides, app)
    try:
        trio.run(_run, start.app, start.settings, load_again)
    except* (ConfigError, Unavailable) as group:  # shows only at start, such as an address that is in use
        failure = first_leaf(group)
    else:
        return
    if isinstance(failure, Unavailable):
        raise click.ClickException(f"the server cannot start: {root_cause(failure)}") from failure
    raise failure


async def _run(app: Any, settings: Settings, load_again: Callable[[], Settings]) -> None:
    certificates = Certificates(settings.server)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async with running(app) as streamd, trio.open_nursery() as nursery:
            reloader = Reloader(load_again, settings, streamd, certificates, os.environ)
            nursery.start_soon(reloader.run)
            stopped = trio.Event()
            nursery.start_soon(_handle_signals, signals, stopped, reloader)
            async with trio.open_nursery() as serving:
                serve_until = partial(serve_app, wait_for_shutdown=stopped.wait, certificates=certificates)
                addresses = await serving.start(serve_until, app, settings)
                if settings.connections.control:
                    warn_of_control()
                tune_collector(settings.server)
                for address in addresses:
                    click.echo(f"streamd is listening on {address}")
                sys.stdout.flush()
            nursery.cancel_scope.cancel()


async def _handle_signals(signals: AsyncIterator[int], stopped: trio.Event, reloader: Reloader) -> NoReturn:
    """Reload on SIGHUP and stop on the others; the second of those has its default effect.

    The kernel sends SIGHUP also when the terminal is closed: then the server stops, too.
    """
    had_terminal = _has_terminal()
    async for number in signals:
        if number == signal.SIGHUP and _has_terminal() == had_terminal:
            reloader.request()
        elif not stopped.is_set():
            stopped.set()
        elif number != signal.SIGHUP:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
    raise AssertionError("signals come until the receiver is closed")


def _has_terminal() -> bool:
    """Return True while the process has a controlling terminal (tty(4))."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
