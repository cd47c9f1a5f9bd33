"""streamd keeps people informed while long work runs.

A program publishes what happens; browsers and services see it within milliseconds, over Server-Sent
Events, WebSocket or long-poll. Whoever reconnects resumes without loss or repeat.

The way of an event::

    publish  api - hub.publish - log.append (gets its id) ------+
                                                                | log.tail, in log order
    deliver  wire.write_nowait <- subscription.offer <- hub <---+
                  would block: bounded outbox - the connection's own task - socket
                  outbox full: lagging - pages of log.read from the cursor - level again, live again

The layers; imports only go down::

    cli                         the commands
    app, server                 the composition root; Hypercorn on trio
    api, apps, web, client      routes; sources and services; the page; a client in Python
    transports                  SSE, WebSocket, long-poll, on one loop
    services                    the long-lived parts, in one nursery
    tasks, text, log.memory     long work; generated text; an implementation of the log
    hub, connections            fan-out; clients and their places
    events, log.port            what an event is, and its codecs; what a log is
    database                    one SQLite file for all that outlives the process
    errors, config, metrics

Inside a Quart-Trio application start from :class:`Streamd` and :class:`EventStream`.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

try:
    __version__ = version("streamd")
except PackageNotFoundError:  # run from a checkout that was not installed
    __version__ = "0+unknown"

if TYPE_CHECKING:
    from .app import create_app as create_app
    from .extension import Service as Service
    from .extension import Streamd as Streamd
    from .http import EventStream as EventStream

_EXPORTS = {"EventStream": "http", "Service": "extension", "Streamd": "extension", "create_app": "app"}

__all__ = ["EventStream", "Service", "Streamd", "__version__", "create_app"]


def __getattr__(name: str) -> Any:
    """Import the application only when somebody asks for it: the codecs and the client do not need it."""
    if name in _EXPORTS:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
