"""What the scenarios of tasks and services share: streamd with a store, and requests in JSON."""

import http.client
import json
import socket
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, ClassVar, Final, Self

from ..peers import Running, Setup, Streamd
from ..peers.base import Place

_ERROR_CHARACTERS: Final = 300


class StreamdSQLite(Streamd):
    """Its store a file in a temporary folder."""

    about: ClassVar[str] = "streamd serve, its store in a SQLite file"

    def __init__(self) -> None:
        super().__init__("streamd sqlite")

    def environment(self, setup: Setup, place: Place) -> Mapping[str, str]:
        url = f"sqlite:{place.directory / 'store.db'}"
        return {**super().environment(setup, place), "STREAMD_STORE__URL": url}


SQLITE: Final = StreamdSQLite()
MEMORY: Final = Streamd("streamd memory", {"STREAMD_STORE__URL": "memory:"})


class Api:
    """One kept-alive HTTP/1.1 connection, a request at a time; use it in a with block.

    Raises:
        RuntimeError: from :meth:`call`, when the server refused.
        OSError: the connection failed, or an answer took longer than ``timeout_seconds``.
    """

    def __init__(self, server: Running, timeout_seconds: float) -> None:
        self._host = f"{server.host}:{server.port}"
        self._socket = socket.create_connection((server.host, server.port), timeout_seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request whose body is JSON, or nothing, and return the answer's JSON."""
        encoded = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(encoded)}\r\n"
        head += "Content-Type: application/json\r\n\r\n" if encoded else "\r\n"
        self._socket.sendall(head.encode() + encoded)
        response = http.client.HTTPResponse(self._socket, method=method)
        response.begin()
        text = response.read()
        if not 200 <= response.status < 300:
            said = text.decode(errors="replace")[:_ERROR_CHARACTERS]
            raise RuntimeError(f"{method} {path} was refused: {response.status} {said}")
        return json.loads(text) if text else None


def paced(number: int, rate: float, began: float, *, first: int = 0, step: int = 1) -> Iterator[int]:
    """The numbers from ``first`` to below ``number``, each when it is its turn.

    Args:
        rate: a second, of all numbers from 0; a turn that has passed already is taken at once.
        began: when number 0 has its turn (s, monotonic clock).
        step: every how many-th of them, where several share the numbers.
    """
    for each in range(first, number, step):
        time.sleep(max(0.0, began + each / rate - time.monotonic()))
        yield each
