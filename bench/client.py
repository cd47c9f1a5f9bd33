"""The load: one process that subscribes many times and reads as fast as it can.

Plain non-blocking sockets under epoll. An event's data begins with its number and the monotonic time
of its publishing, which both processes share; the reader takes chunked framing apart exactly, and
does nothing else with an event than to check its number and note the delay.
"""

import select
import socket
import time
from array import array
from collections.abc import Sequence
from multiprocessing.connection import Connection

import attrs

RECEIVE_BYTES = 262_144
_MARK = b"data: bench "


@attrs.frozen
class Outcome:
    """What one load process saw."""

    delays_ns: Sequence[int]  # of every delivery, from publish to arrival
    missing: int  # deliveries that did not come
    disordered: int  # events out of order or repeated
    last_ns: int  # monotonic time of the last delivery


class _Client:
    """One subscriber's socket, and what it has read."""

    __slots__ = ("body", "connected", "expected", "raw", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.raw = b""  # chunked, not yet taken apart
        self.body = b""  # an unfinished block
        self.expected = 0
        self.connected = False

    def blocks(self, data: bytes) -> list[bytes]:
        """The event stream blocks that are complete with ``data``."""
        self.raw += data
        if not self.connected:
            head, found, rest = self.raw.partition(b"\r\n\r\n")
            if not found:
                return []
            if b" 200 " not in head.split(b"\r\n")[0] + b" ":
                raise RuntimeError(f"refused: {head[:100]!r}")
            self.connected, self.raw = True, rest
        raw, position, parts = self.raw, 0, [self.body]
        while (line_end := raw.find(b"\r\n", position)) >= 0:
            size = int(raw[position:line_end], 16)
            if size == 0:
                raise RuntimeError("the stream ended")
            if len(raw) < line_end + 2 + size + 2:
                break
            parts.append(raw[line_end + 2 : line_end + 2 + size])
            position = line_end + 2 + size + 2
        self.raw = raw[position:]
        *blocks, self.body = b"".join(parts).split(b"\n\n")
        return blocks


def run_clients(
    pipe: Connection, host: str, port: int, topic: str, clients: int, events: int, deadline_seconds: float
) -> None:
    """Subscribe ``clients`` times, say so, read ``events`` events each, and send the outcome.

    Messages on the pipe: ``("connected", seconds)``, then ``("done", Outcome)``.
    """
    began = time.monotonic()
    poll = select.epoll()
    by_fd: dict[int, _Client] = {}
    request = f"GET /events?topic={topic} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    for _ in range(clients):
        sock = socket.create_connection((host, port))
        sock.sendall(request)
        sock.setblocking(False)
        by_fd[sock.fileno()] = _Client(sock)
        poll.register(sock, select.EPOLLIN)
    reader = _Reader(poll, by_fd, began + deadline_seconds)
    while reader.opened < clients and reader.turn():
        pass
    pipe.send(("connected", time.monotonic() - began))
    while len(reader.delays) < clients * events and reader.turn():
        pass
    missing = clients * events - len(reader.delays)
    pipe.send(("done", Outcome(reader.delays, missing, reader.disordered, reader.last_ns)))
    for client in by_fd.values():
        client.sock.close()


class _Reader:
    def __init__(self, poll: select.epoll, by_fd: dict[int, _Client], deadline: float) -> None:
        self.opened = 0
        self.delays = array("q")
        self.disordered = 0
        self.last_ns = 0
        self._poll = poll
        self._by_fd = by_fd
        self._deadline = deadline

    def turn(self) -> bool:
        """Read what is there; False once the deadline has passed."""
        for fd, _ in self._poll.poll(0.25):
            client = self._by_fd[fd]
            data = client.sock.recv(RECEIVE_BYTES)
            if not data:
                raise RuntimeError("the server closed a stream")
            now = time.monotonic_ns()
            for block in client.blocks(data):
                self._take(client, block, now)
        return time.monotonic() < self._deadline

    def _take(self, client: _Client, block: bytes, now: int) -> None:
        at = block.find(_MARK)
        if at < 0:
            self.opened += block.startswith(b"event: connected")
            return
        number, published, *_ = block[at + len(_MARK) :].split()
        self.disordered += int(number) != client.expected
        client.expected = int(number) + 1
        self.delays.append(now - int(published))
        self.last_ns = now
