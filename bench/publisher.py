"""Publishing over one keep-alive HTTP/1.1 connection, on a plain blocking socket."""

import enum
import json
import socket
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

TOPIC: Final = "bench"
_RECEIVE_BYTES: Final = 65_536
# While a larger body is sent, another thread reads the answer, which could fill the socket buffers before.
_LARGE_BODY_BYTES: Final = 65_536


class Encoding(enum.Enum):
    """The format in which a server accepts an event."""

    JSON = "application/json"  # {"topic", "data"}
    RAW = "text/plain"  # the body is the data


class Publisher:
    """Publishes events whose data is their number, the time and filler.

    Raises:
        RuntimeError: from all publishing methods: the server rejected the events.
        OSError: the connection failed, or an answer took longer than ``timeout_seconds``.
    """

    def __init__(
        self,
        host: str,
        port: int,
        path: str,
        encoding: Encoding,
        *,
        tls: bool,
        timeout_seconds: float,
        topic: str = TOPIC,
        header: str = "",
    ) -> None:
        self._header = f"{header}\r\n" if header else ""
        self._host, self._port = host, port
        self._path = path
        self._encoding = encoding
        self._tls = tls
        self._topic = topic
        self._timeout_seconds = timeout_seconds
        self._received = b""
        self._socket = self._connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def publish_each(self, numbers: Sequence[int], *, payload_bytes: int, rate: float = 0.0) -> list[float]:
        """Publish each event with its own request, and return the time from each request to its answer (ms).

        Args:
            numbers: the events' numbers.
            payload_bytes: filler of each event.
            rate: events a second; 0: each one once the previous is acknowledged.
        """
        filler = "x" * payload_bytes
        began = time.monotonic()
        answered_ms = []
        for count, number in enumerate(numbers):
            if rate:
                time.sleep(max(0.0, began + count / rate - time.monotonic()))
            sent_ns = time.monotonic_ns()
            self._post(self._encode(f"bench {number} {sent_ns} {filler}"), self._encoding.value)
            answered_ms.append((time.monotonic_ns() - sent_ns) / 1e6)
        return answered_ms

    def publish_array(self, numbers: Sequence[int], *, payload_bytes: int) -> None:
        """Publish the events as one JSON array."""
        self._post(b"[" + b",".join(self._lines(numbers, payload_bytes)) + b"]", Encoding.JSON.value)

    def publish_ndjson(self, numbers: Sequence[int], *, payload_bytes: int) -> None:
        """Publish the events as one NDJSON body; all carry the time at which it was built."""
        answer = self._post(b"\n".join(self._lines(numbers, payload_bytes)) + b"\n", "application/x-ndjson")
        if b'"error"' in answer:
            raise RuntimeError(f"a line was rejected: {answer[answer.index(b'error') - 50 :][:300]!r}")

    def _encode(self, text: str) -> bytes:
        if self._encoding is Encoding.RAW:
            return text.encode()
        return json.dumps({"topic": self._topic, "data": text}, separators=(",", ":")).encode()

    def _post(self, body: bytes, content_type: str) -> bytes:
        request = (
            f"POST {self._path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{self._header}\r\n"
        ).encode() + body
        if len(body) <= _LARGE_BODY_BYTES:
            self._socket.sendall(request)
            return self._read_answer()
        with ThreadPoolExecutor(1) as executor:
            answer = executor.submit(self._read_answer)
            self._socket.sendall(request)
            return answer.result()

    def _connect(self) -> socket.socket:
        sock = socket.create_connection((self._host, self._port), self._timeout_seconds)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._tls:
            return sock
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(sock)

    def _read_answer(self) -> bytes:
        """Read an answer, and return its body; reconnect if the server closes the connection."""
        head = self._read_until(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = self._read_chunks()
        elif status_line.split()[1] == "204":
            body = b""
        else:
            body = self._read_exactly(int(headers["content-length"]))
        if not status_line.split()[1].startswith("2"):
            raise RuntimeError(f"publishing was rejected: {status_line} {body[:200]!r}")
        if headers.get("connection", "").lower() == "close":
            self._socket.close()
            self._socket = self._connect()
        return body

    def _read_chunks(self) -> bytes:
        parts = []
        while size := int(self._read_until(b"\r\n").split(b";")[0], 16):
            parts.append(self._read_exactly(size))
            self._read_exactly(2)
        while self._read_until(b"\r\n"):
            pass  # trailers, up to the empty line
        return b"".join(parts)

    def _read_until(self, end: bytes) -> bytes:
        while (at := self._received.find(end)) < 0:
            self._receive()
        found, self._received = self._received[:at], self._received[at + len(end) :]
        return found

    def _read_exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            self._receive()
        found, self._received = self._received[:size], self._received[size:]
        return found

    def _receive(self) -> None:
        data = self._socket.recv(_RECEIVE_BYTES)
        if not data:
            raise RuntimeError("the server closed the publisher's connection")
        self._received += data

    def _lines(self, numbers: Sequence[int], payload_bytes: int) -> list[bytes]:
        topic, now, filler = self._topic.encode(), time.monotonic_ns(), b"x" * payload_bytes
        return [
            b'{"topic":"%s","data":"bench %d %d %s"}' % (topic, number, now, filler) for number in numbers
        ]
