"""The clients of the services' streams: a separate program, controlled by `followers.py`.

It reads and writes JSON lines on standard input and output. The first line is its configuration::

    {"host", "port", "paths": [one for each client], "file", "deadline_seconds", "last": text or null}

It answers ``{"event": "connected", "seconds"}`` once all clients have the head of a 200 answer. A line
``{"last": text}`` may follow later. At the deadline, or once each client has an event that contains this text
or its stream has ended, and no event has arrived for a moment, it writes all events to ``file``, and answers
``{"event": "done", ...}``. The file has a list of ``[nanoseconds, event as text]`` for each client, as
MessagePack.

While there is data, it only calls `recv` and reads the clock; it parses when there is none. Each event has
the time just after the read that completed it. So 100 clients are read in less than a millisecond, without C.
"""

import gc
import json
import os
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec

_RECEIVE_BYTES: Final = 65_536
_IDLE_SECONDS: Final = 0.02  # time without data after which the received bytes are parsed
_QUIET_SECONDS: Final = 0.2  # after the last event, to notice events that must not follow
_STDIN: Final = 0


class Stream:
    """Parser of one client's answer: HTTP/1.1 chunks (RFC 9112 section 7.1) of events with LF line ends.

    Attributes:
        events: each with the time of the read that completed it (ns, monotonic clock).
        opened: the head has been received.
        ended: the server ended the body, or closed the connection.
    """

    def __init__(self) -> None:
        self.events: list[tuple[int, str]] = []
        self.opened = False
        self.ended = False
        self._raw = bytearray()
        self._text = bytearray()
        self._left = 0  # bytes of the chunk, including the CR LF after it

    def receive(self, data: bytes, now_ns: int) -> None:
        """Process the bytes of one read; no bytes are the end of the connection.

        Raises:
            RuntimeError: the status is not 200, or the answer has no chunks.
        """
        if self.ended:
            return  # the end of the last chunk, or of the connection
        if not data:
            self.ended = True
        self._raw += data
        if self.opened or self._take_head():
            while self._take_chunk():
                pass
            *events, rest = self._text.split(b"\n\n")
            self.events += [(now_ns, event.decode()) for event in events]
            self._text = bytearray(rest)

    def has_seen(self, text: str) -> bool:
        """Return True if an event contains the text; the newest is searched first."""
        return any(text in event for _, event in reversed(self.events))

    def _take_head(self) -> bool:
        end = self._raw.find(b"\r\n\r\n")
        if end < 0:
            if self.ended:
                raise RuntimeError(f"the server closed before its answer: {bytes(self._raw)!r}")
            return False
        head = self._raw[:end].decode("latin-1")
        del self._raw[: end + 4]
        if head.split()[1] != "200" or "transfer-encoding: chunked" not in head.lower():
            raise RuntimeError(f"the answer is no event stream: {head} {self._raw[:300]!r}")
        self.opened = True
        return True

    def _take_chunk(self) -> bool:
        """Process a part of a chunk; return True if there may be more."""
        if not self._left:
            end = self._raw.find(b"\r\n")
            if end < 0:
                return False
            size = int(self._raw[:end].split(b";")[0], 16)
            del self._raw[: end + 2]
            if size == 0:
                self.ended = True
                return False
            self._left = size + 2
        part = self._raw[: self._left]
        if not part:
            return False
        self._text += part[: max(0, self._left - 2)]
        self._left -= len(part)
        del self._raw[: len(part)]
        return True


class Reader:
    """All clients of one run, and the standard input that ends them."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._last: str | None = plan["last"]
        self._deadline = time.monotonic() + plan["deadline_seconds"]
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._streams: dict[int, Stream] = {}  # in the order of the paths
        self._reads: list[tuple[int, int, bytes]] = []  # descriptor, time, bytes; not parsed yet

    def run(self) -> None:
        """Connect, read until the end, and write the results."""
        began = time.monotonic()
        clock_ns = wall_offset_ns()
        for path in self._plan["paths"]:
            self._connect(path)
        self._read(lambda: all(stream.opened for stream in self._streams.values()))
        say(event="connected", seconds=time.monotonic() - began)
        used = time.process_time()
        self._epoll.register(_STDIN, select.EPOLLIN)
        self._read(self._is_over, quiet_seconds=_QUIET_SECONDS)
        reading_cpu_seconds = time.process_time() - used
        events = [stream.events for stream in self._streams.values()]
        Path(self._plan["file"]).write_bytes(msgspec.msgpack.encode(events))
        say(
            event="done",
            closed=sum(stream.ended for stream in self._streams.values()),
            cpu_seconds=reading_cpu_seconds,
            wall_offsets_ns=[clock_ns, wall_offset_ns()],
        )

    def _connect(self, path: str) -> None:
        address = (self._plan["host"], self._plan["port"])
        sock = socket.create_connection(address, timeout=max(0.1, self._deadline - time.monotonic()))
        request = (
            f"GET {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nAccept: text/event-stream\r\n\r\n"
        )
        sock.sendall(request.encode())
        sock.setblocking(False)
        self._sockets[sock.fileno()] = sock
        self._streams[sock.fileno()] = Stream()
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _read(self, is_over: Any, *, quiet_seconds: float = 0.0) -> None:
        """Read until a condition holds and no data arrived for ``quiet_seconds``, or until the deadline."""
        epoll, sockets, reads, clock = self._epoll, self._sockets, self._reads, time.monotonic_ns
        last_read = time.monotonic()
        while time.monotonic() < self._deadline:
            ready = epoll.poll(_IDLE_SECONDS)
            for descriptor, _ in ready:
                if descriptor == _STDIN:
                    self._take_command()
                    continue
                try:
                    data = sockets[descriptor].recv(_RECEIVE_BYTES)
                except ConnectionResetError:
                    data = b""
                reads.append((descriptor, clock(), data))
                if not data:
                    epoll.unregister(descriptor)
            if ready:
                last_read = time.monotonic()
                continue
            for descriptor, now_ns, data in reads:
                self._streams[descriptor].receive(data, now_ns)
            reads.clear()
            if time.monotonic() - last_read >= quiet_seconds and is_over():
                return
        for descriptor, now_ns, data in reads:
            self._streams[descriptor].receive(data, now_ns)
        reads.clear()

    def _is_over(self) -> bool:
        last = self._last
        return all(
            stream.ended or (last is not None and stream.has_seen(last)) for stream in self._streams.values()
        )

    def _take_command(self) -> None:
        line = os.read(_STDIN, _RECEIVE_BYTES)
        if not line:
            sys.exit("standard input was closed before the end")
        self._last = json.loads(line)["last"]


def wall_offset_ns() -> int:
    """Return the offset from the monotonic clock to nanoseconds since 1970."""
    before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
    return wall - (before + after) // 2


def say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


def main() -> None:
    with os.fdopen(_STDIN, "rb", buffering=0, closefd=False) as unbuffered:
        plan = json.loads(unbuffered.readline())
    gc.disable()  # a collection during the run would look like a delay of the server
    Reader(plan).run()


if __name__ == "__main__":
    main()
