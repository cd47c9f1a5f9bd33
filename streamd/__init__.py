"""streamd: a real-time server for long-running work.

A program publishes events; browsers and services receive them within milliseconds over Server-Sent Events,
WebSocket or long polling. A client that reconnects resumes from its last event id without loss or repeats.

The way of an event::

    publish  http - hub.publish - log.append (assigns the id) --+
                                                                | log.tail, in log order
    deliver  wire.write_nowait <- subscription.offer <- hub <---+
                  would block: bounded send queue - the connection's own trio task - socket
                  queue full: lagging - pages of log.read from the cursor - level - live again

The layers. Imports only go down; the contracts in ``pyproject.toml`` enforce it::

    cli, testing                            commands; a server and a reader for tests
    startup                                 the settings of a start, and the checks of what they need
    app, server, settings                   the composition root; HTTP/1.1 and HTTP/2 on trio; the sections
    services, demo, client                  the five services; an event source; a client in Python
    extension                               Streamd, the Quart extension, and Service
    http                                    the API, and the parts that services build theirs from
    transports                              SSE, WebSocket and long polling over the broker
    runtime                                 broker, database, tasks and runner: the lifetime of everything
    broker                                  log, hub, connections and metrics: the parts of every stream
    tasks, text, auth, log.memory           long jobs; generated text; callers and grants; the log in memory
    hub, connections, limits                the fan-out; admission and health of clients; rate limits
    events, log.port                        events and their codecs; the port of a log: pure Python
    database                                one SQLite file for everything that outlives the process
    idempotency, unreadable                 keys of requests that are sent again; damaged records
    characters, clock, errors, config, metrics, logs, json, outbound, division, proxies, computing; steps,
    time_slice and turns: the time that work takes (see the table in ``time_slice``)

Only ``http``, ``extension``, the services and ``app`` import Quart. A service imports public names only.

Inside a Quart-Trio application start from :class:`Streamd` and :class:`EventStream`.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

try:
    __version__ = version("streamd")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0+unknown"

if TYPE_CHECKING:
    from .app import create_app as create_app
    from .extension import Service as Service
    from .extension import Streamd as Streamd
    from .http import EventStream as EventStream
    from .settings import Settings as Settings

_EXPORTS = {
    "EventStream": "http",
    "Service": "extension",
    "Settings": "settings",
    "Streamd": "extension",
    "create_app": "app",
}

__all__ = ["EventStream", "Service", "Settings", "Streamd", "__version__", "create_app"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that the codecs and the client load without the application."""
    if name in _EXPORTS:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
