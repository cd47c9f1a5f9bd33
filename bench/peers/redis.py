"""Peers with Redis: streamd with its log there, and nchan with its store there."""

import http.client
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..redis_server import redis_server
from .base import HOST, Running, Setup, Workspace, free_port
from .nchan import Nchan
from .streamd import Streamd

_REDIS_SECONDS: Final = 10.0


class StreamdRedis(Streamd):
    """`streamd serve` with its log in a Redis server on a Unix socket, which the samples leave out.

    Args:
        socket: of the server; None starts one for each run.
    """

    about = "streamd serve, its log in Redis"

    def __init__(self, socket: Path | None = None) -> None:
        super().__init__("streamd-redis")
        self._socket = socket

    @contextmanager
    def start(self, setup: Setup) -> Iterator[Running]:
        if self._socket is not None:
            with super().start(setup) as running:
                yield running
            return
        with redis_server() as (socket, _), StreamdRedis(socket).start(setup) as running:
            yield running

    def environment(self, setup: Setup, workspace: Workspace) -> Mapping[str, str]:
        return {
            **super().environment(setup, workspace),
            "STREAMD_LOG__URL": f"redis+unix://{self._socket}",
        }


class NchanRedis(Nchan):
    """nginx with nchan, whose messages are in a Redis server on loopback, which the samples leave out."""

    about = "nginx with the nchan module and its Redis store"

    def __init__(self) -> None:
        super().__init__()
        self.name = "nchan-redis"
        self._port = 0

    @contextmanager
    def start(self, setup: Setup) -> Iterator[Running]:
        self._port = free_port()
        with redis_server(self._port), super().start(setup) as running:
            self._wait_for_redis(running.port)
            yield running

    def _wait_for_redis(self, port: int) -> None:
        """Publish until it is accepted: nginx listens before nchan is connected to Redis, and answers 503."""
        deadline = time.monotonic() + _REDIS_SECONDS
        while time.monotonic() < deadline:
            connection = http.client.HTTPConnection(HOST, port)
            try:
                connection.request("POST", self.publish_path, b"{}")
                if connection.getresponse().status < http.client.MULTIPLE_CHOICES:
                    return
            finally:
                connection.close()
            time.sleep(0.05)
        raise TimeoutError("nchan does not reach Redis")

    def further_settings(self) -> str:
        return f"nchan_redis_url redis://127.0.0.1:{self._port}; nchan_use_redis on;"
