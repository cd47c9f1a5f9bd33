"""A server on an event loop in a thread of its own, for tests whose steps are plain calls."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import trio
from structlog.testing import capture_logs

from streamd.server import ServerSettings, serve
from tests.support.http2_app import Application, with_lifespan

_SECONDS: Final = 5


class ServerThread:
    """A running server.

    Attributes:
        logs: the lines that it has logged.
    """

    def __init__(self, port: int, logs: list[dict[str, object]]) -> None:
        self._port = port
        self.logs = logs

    def connect(self) -> socket.socket:
        """Connect to it; calls on the socket fail after some seconds."""
        return socket.create_connection(("127.0.0.1", self._port), timeout=_SECONDS)

    def check_logs(self) -> None:
        """Check that no exception went unhandled."""
        assert [line for line in self.logs if line["log_level"] in ("error", "critical")] == []


@contextmanager
def server_thread(
    app: Application, settings: ServerSettings | None = None, *, max_message_bytes: int = 1_000_000
) -> Iterator[ServerThread]:
    """Serve an application, without its lifespan, until the end of the block.

    Args:
        app: the application.
        settings: of the server.
        max_message_bytes: maximum size of a message from a WebSocket client.
    """
    found: list[tuple[int, trio.lowlevel.TrioToken]] = []
    has_begun, stop = threading.Event(), trio.CancelScope()

    async def main() -> None:
        with stop:
            async with trio.open_nursery() as nursery:
                wanted = settings or ServerSettings(bind=["127.0.0.1:0"])
                run = partial(serve, max_message_bytes=max_message_bytes)
                [url] = await nursery.start(run, with_lifespan(app), wanted)
                found.append((int(url.rpartition(":")[2]), trio.lowlevel.current_trio_token()))
                has_begun.set()

    thread = threading.Thread(target=trio.run, args=(main,), name="server")
    with capture_logs() as logs:
        thread.start()
        assert has_begun.wait(_SECONDS)
        [(port, token)] = found
        try:
            yield ServerThread(port, logs)  # type: ignore[arg-type]  # structlog's are mutable mappings
        finally:
            token.run_sync_soon(stop.cancel)
            thread.join(_SECONDS)
    assert not thread.is_alive()
