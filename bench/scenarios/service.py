"""Shared parts of the scenarios of tasks and services: streamd with a store, and JSON requests."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self

from ..peers import Running, Streamd, StreamdSQLite

_ERROR_CHARACTERS: Final = 300


SQLITE: Final = StreamdSQLite()
SQLITE_STORE: Final = StreamdSQLite("streamd sqlite store", log=False)
MEMORY: Final = Streamd("streamd memory")


class JSONConnection:
    """One keep-alive HTTP/1.1 connection for JSON requests; a context manager.

    Raises:
        RuntimeError: from :meth:`call`: the server rejected the request.
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
        """Send a request with a JSON body or none, and return the decoded answer."""
        encoded = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(encoded)}\r\n"
        head += "Content-Type: application/json\r\n\r\n" if encoded else "\r\n"
        self._socket.sendall(head.encode() + encoded)
        response = http.client.HTTPResponse(self._socket, method=method)
        response.begin()
        text = response.read()
        if not 200 <= response.status < 300:
            detail = text.decode(errors="replace")[:_ERROR_CHARACTERS]
            raise RuntimeError(f"{method} {path} was rejected: {response.status} {detail}")
        return json.loads(text) if text else None


def paced(number: int, rate: float, began: float, *, first: int = 0, step: int = 1) -> Iterator[int]:
    """Yield the numbers from ``first`` to below ``number`` at a fixed rate; late ones without a pause.

    Args:
        number: end of the range.
        rate: of all numbers from 0 (1/s).
        began: time of number 0 (s, monotonic clock).
        first: begin of the range.
        step: of the range, when several threads share the numbers.
    """
    for each in range(first, number, step):
        time.sleep(max(0.0, began + each / rate - time.monotonic()))
        yield each
