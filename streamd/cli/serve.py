"""``streamd serve``: run the server."""

import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import click
import structlog
import trio

from ..app import running, serve_app
from ..errors import ConfigError, Unavailable, root_cause
from ..http.loopback import warn_of_control
from ..logs import configure_logging
from ..server import (
    FIRST,
    INHERIT_OPTION,
    Certificates,
    Inheritance,
    LoopMonitor,
    SystemdNotifier,
    adopt_sockets,
    bind_of,
    take_activated,
    tune_collector,
)
from ..settings import Settings
from ..startup import prepare_reload, prepare_start
from .client_options import first_leaf
from .lifecycle import SERVER_SIGNALS, announce, handle_signals, ignore_hangups
from .reload import Reloader
from .supervise import serve_command, supervise

_log = structlog.get_logger(__name__)


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="Configuration file (TOML).")
@click.option(
    "--bind",
    multiple=True,
    metavar="HOST:PORT",
    help="Address to listen on, or unix:/PATH for a Unix socket; repeat for several.",
)
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
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Number of processes, which share the addresses; more than one need a log and a store in Redis.",
)
@click.option(INHERIT_OPTION, hidden=True, help="File descriptors, for the processes of --workers.")
@click.option("--demo", is_flag=True, help="Publish this machine's figures on host/metrics.")
@click.option(
    "--follow", multiple=True, metavar="PATH", help="Publish the lines of a file; repeat for several."
)
@click.pass_context
def serve(
    context: click.Context,
    config: Path | None,
    bind: tuple[str, ...],
    log: str | None,
    store: str | None,
    certfile: str | None,
    keyfile: str | None,
    app: str | None,
    log_level: str | None,
    workers: int,
    inherit: str | None,
    demo: bool,
    follow: tuple[str, ...],
) -> None:
    """Run the server until SIGTERM or Ctrl-C, then shut down gracefully: clients reconnect later.

    SIGHUP reloads certificates, log levels and limits, and logs which changed settings need a restart. Under
    systemd it announces start, reloads and shutdown, and pings the watchdog.

    Example: streamd serve --demo --follow /var/log/syslog
    """
    activated = [] if inherit is not None else take_activated(os.environ)
    addresses = [bind_of(sock) for sock in activated]
    for sock in activated:
        context.call_on_close(sock.close)
    overrides: dict[str, Any] = {
        "server.bind": addresses or list(bind) or None,
        "log.url": log,
        "store.url": store,
        "server.certfile": certfile,
        "server.keyfile": keyfile,
        "logging.level": log_level,
        "demo.enabled": True if demo else None,
        "demo.follow": list(follow) or None,
    }
    ignore_hangups()
    opens_sockets = inherit is None and not activated
    start = prepare_start(config, os.environ, overrides, app, workers, opens_sockets=opens_sockets)
    configure_logging(start.settings.logging, os.environ)
    adopt_sockets(activated, start.settings.server)
    if workers > 1:
        sys.exit(supervise(start.settings.server, serve_command(context, addresses), workers, activated))
    load_again = partial(
        prepare_reload, start, config, os.environ, overrides, app, opens_sockets=opens_sockets
    )
    try:
        with nullcontext() if inherit is None else Inheritance.parse(inherit) as inherited:
            sockets = activated if inherited is None else inherited.sockets
            trio.run(_run, start.app, start.settings, load_again, inherited, sockets)
    except* (ConfigError, Unavailable) as group:  # shows only at start, such as an address that is in use
        failure = first_leaf(group)
    else:
        return
    if isinstance(failure, Unavailable):
        raise click.ClickException(f"the server cannot start: {root_cause(failure)}") from failure
    raise failure


async def _run(
    app: Any,
    settings: Settings,
    load_again: Callable[[], Settings],
    inherited: Inheritance | None,
    sockets: Sequence[socket.socket],
) -> None:
    certificates = Certificates(settings.server)
    if inherited is not None:
        structlog.contextvars.bind_contextvars(process=inherited.number)
    with_demo = inherited is None or inherited.number == FIRST
    systemd = SystemdNotifier.from_environ(os.environ if inherited is None else {})  # the supervisor speaks
    stopped = trio.Event()

    async def wait_for_shutdown() -> None:
        await stopped.wait()
        await systemd.stopping()

    with trio.open_signal_receiver(*SERVER_SIGNALS) as signals:
        async with running(app, with_demo=with_demo) as streamd, trio.open_nursery() as nursery:
            monitor = LoopMonitor(streamd.metrics, settings.server)
            nursery.start_soon(systemd.run_watchdog)
            reloader = Reloader(load_again, settings, streamd, certificates, monitor, os.environ, systemd)
            nursery.start_soon(reloader.run)
            nursery.start_soon(partial(handle_signals, signals, reload=reloader.request, stop=stopped.set))
            if inherited is not None:
                nursery.start_soon(_stop_if_orphaned, inherited, stopped)
            async with trio.open_nursery() as serving:
                serve_until = partial(
                    serve_app,
                    wait_for_shutdown=wait_for_shutdown,
                    certificates=certificates,
                    sockets=sockets or None,
                )
                addresses = await serving.start(serve_until, app, settings)
                if streamd.runtime.access.is_open and inherited is None:
                    _log.info(
                        "server_is_open",
                        reason="no keys: everybody may do all but publish on reserved topics",
                    )
                if settings.connections.control:
                    warn_of_control()
                tune_collector(settings.server)
                nursery.start_soon(monitor.run)  # from here on: the start itself is slow
                if inherited is None:
                    announce(addresses)
                    await systemd.ready()
                else:
                    inherited.announce_ready()
            nursery.cancel_scope.cancel()


async def _stop_if_orphaned(inherited: Inheritance, stopped: trio.Event) -> None:
    """Shut down when the supervisor has ended, since nobody would end or restart this process."""
    await inherited.wait_orphaned()
    _log.warning("supervisor_ended")
    stopped.set()
