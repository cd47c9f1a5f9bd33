"""A running server inside a test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import attrs
import trio
from quart_trio import QuartTrio

from ..app import create_app, running, serve_app
from ..extension import Streamd
from ..http.current import EXTENSION
from ..settings import Settings


@attrs.frozen
class RunningServer:
    """A server that accepts connections.

    Attributes:
        url: the first address, such as ``http://127.0.0.1:40001``, without a slash at the end.
        addresses: all addresses.
        streamd: the application's extension, to publish and to inspect.
    """

    url: str
    addresses: tuple[str, ...]
    streamd: Streamd
    _stop: trio.Event

    @property
    def host(self) -> str:
        return self.url.rpartition("//")[2].rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        """Begin a graceful shutdown, as on SIGTERM. The end of the block waits for it."""
        self._stop.set()


@asynccontextmanager
async def run_server(
    settings: Settings | None = None, *, app: QuartTrio | None = None, bind: str = "127.0.0.1:0"
) -> AsyncIterator[RunningServer]:
    """Run a server on real sockets until the end of the block.

    Args:
        settings: the settings; their ``server.bind`` is replaced.
        app: an application with a :class:`~streamd.Streamd`; by default the streamd server.
        bind: the address to listen on; port 0 is a free one.

    The server accepts any ``Host``, unless ``server.hosts`` lists some. The end of the block cuts connections
    off without draining, unless :meth:`RunningServer.stop` was called.
    """
    if settings is None:
        settings = Settings.around(app.extensions[EXTENSION].settings) if app is not None else Settings()
    hosts = settings.server.hosts or ["*"]
    settings = attrs.evolve(settings, server=attrs.evolve(settings.server, bind=[bind], hosts=hosts))
    app = app or create_app(settings)
    stop = trio.Event()
    async with running(app) as streamd, trio.open_nursery() as nursery:
        addresses = await nursery.start(partial(serve_app, app, settings, wait_for_shutdown=stop.wait))
        yield RunningServer(addresses[0], tuple(addresses), streamd, stop)
        if not stop.is_set():
            nursery.cancel_scope.cancel()
