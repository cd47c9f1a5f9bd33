"""``streamd serve``: run the server."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
import trio

from ..app import running
from ..errors import ConfigError, Unavailable
from ..logs import configure_logging
from ..server import serve as serve_app
from ..server import tune_collector
from ..settings import Settings
from ..startup import prepare_start
from .client_options import first_leaf


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
    try:
        trio.run(_run, start.app, start.settings)
    except* (ConfigError, Unavailable) as group:  # shows only at start, such as an address that is in use
        failure = first_leaf(group)
    else:
        return
    if isinstance(failure, Unavailable):
        raise click.ClickException(f"the server cannot start: {failure.detail}") from failure
    raise failure


async def _run(app: Any, settings: Settings) -> None:
    async with _stopped_by_signal() as stopped, running(app) as streamd, trio.open_nursery() as nursery:
        addresses = await nursery.start(
            partial(
                serve_app,
                app,
                settings.server,
                max_message_bytes=settings.connections.max_message_bytes,
                wait_for_shutdown=stopped.wait,
                drain=streamd.drain,
                metrics=streamd.metrics,
            )
        )
        tune_collector(settings.server)
        for address in addresses:
            click.echo(f"streamd is listening on {address}")
        sys.stdout.flush()


@asynccontextmanager
async def _stopped_by_signal() -> AsyncIterator[trio.Event]:
    """Yield an event that SIGTERM or SIGINT sets. A second signal has its default effect."""
    stopped = trio.Event()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await anext(signals)
                stopped.set()
                again = await anext(signals)
                signal.signal(again, signal.SIG_DFL)
                signal.raise_signal(again)

            nursery.start_soon(watch)
            yield stopped
            nursery.cancel_scope.cancel()
