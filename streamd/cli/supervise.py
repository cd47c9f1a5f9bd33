"""``streamd serve --workers N``: the supervisor's process."""

import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import click
import trio

from ..server import Supervisor, SystemdNotifier, address_of, open_sockets, spawn
from ..server.settings import ServerSettings
from .lifecycle import SERVER_SIGNALS, announce, handle_signals

_MARGIN_SECONDS: Final = 10.0  # for the end of a process after its drain: last writes, a slow machine

_NOT_PASSED_ON: Final = ("workers", "inherit")


def serve_command(context: click.Context, activated: Sequence[str] = ()) -> list[str]:
    """Return the command of a single server process with the options of this one.

    Args:
        context: of `streamd serve`.
        activated: addresses of the service manager's sockets, which take the place of ``--bind``.
    """
    # Without -P, `-m` would let files of the working directory take the place of any module.
    is_source = Path(__file__).resolve().parents[2] == Path.cwd()
    command = [sys.executable, *([] if is_source else ["-P"]), "-m", "streamd", "serve"]
    for parameter in context.command.params:
        if not isinstance(parameter, click.Option) or parameter.name in (None, *_NOT_PASSED_ON):
            continue
        value, option = context.params[parameter.name or ""], parameter.opts[0]
        if parameter.name == "bind" and activated:
            value = activated
        if parameter.is_flag:
            command += [option] if value else []
        else:
            values = value if parameter.multiple else [value]
            command += [f"{option}={each}" for each in values if each is not None]
    return command


def supervise(
    settings: ServerSettings, command: Sequence[str], workers: int, activated: Sequence[socket.socket] = ()
) -> int:
    """Run server processes until SIGTERM or SIGINT, and drain them; return the exit status.

    Args:
        settings: addresses and times of the shutdown.
        command: of one process, see :func:`serve_command`.
        workers: number of processes.
        activated: the service manager's sockets, in place of those of the settings.

    Raises:
        ConfigError: an address cannot be listened on.
    """
    with ExitStack() as listeners:
        sockets = [listeners.enter_context(sock) for sock in activated or open_sockets(settings)]
        return trio.run(_supervise, settings, command, workers, sockets, listeners.close)


async def _supervise(
    settings: ServerSettings,
    command: Sequence[str],
    workers: int,
    sockets: Sequence[socket.socket],
    close_listeners: Callable[[], None],
) -> int:
    addresses = [address_of(sock, "https" if settings.certfile else "http") for sock in sockets]
    systemd = SystemdNotifier.from_environ(os.environ)
    with trio.open_signal_receiver(*SERVER_SIGNALS) as signals:
        async with trio.open_nursery() as nursery:

            def on_ready() -> None:
                announce(addresses)
                nursery.start_soon(systemd.ready)

            def stop() -> None:
                nursery.start_soon(systemd.stopping)
                supervisor.stop()

            supervisor = Supervisor(
                partial(spawn, command, sockets),
                workers,
                stop_seconds=settings.drain_seconds + settings.grace_seconds + _MARGIN_SECONDS,
                on_ready=on_ready,
                close_listeners=close_listeners,
            )
            watch_signals = partial(handle_signals, reload=supervisor.reload, stop=stop, kill=supervisor.kill)
            nursery.start_soon(systemd.run_watchdog)
            nursery.start_soon(watch_signals, signals)
            status = await supervisor.run()
            nursery.cancel_scope.cancel()
    return status
