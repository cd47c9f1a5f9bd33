"""Measure the CPU time of HTTP/2 within this process: a connect, and a delivery.

::

    python -m bench.http2_cost [--connections 100] [--streams 10] [--rounds 20] [--plain] [--count]

The load is that of the scenario ``http2``: connections over TLS, each with some streams of ``GET /events``.
Clients are a thread of this process, whose CPU time is not counted. In a round all of them connect, get a
few events, acknowledge their bytes as the load program does, and leave. The figures are those of the best
round, on the thread of the event loop (µs):

- *connect*: for each stream, from the accept to its head, TLS handshake included;
- *delivery*: for each event of each stream, publishing and WINDOW_UPDATE frames included;
- *leave*: for each stream, from the end of its connection to the end of its work.

With ``--count`` it prints bytecode instructions by function in place of CPU time: they do not depend on the
machine, and leave out what C does. To measure another checkout, run this file with the environment variable
``PYTHONPATH`` set to it.
"""

import argparse
import collections
import gc
import socket
import ssl
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import attrs
import trio
import trio.testing

from bench.certificate import make_certificate
from streamd import app as streamd_app
from streamd.logs import LoggingSettings, configure_logging
from streamd.server import serve, tune_collector
from streamd.settings import Settings

_TOPIC: Final = "bench"
_FILLER: Final = "x" * 100
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _WINDOW_UPDATE = 0, 1, 4, 8
_END_OF_REQUEST: Final = 0x5  # END_STREAM and END_HEADERS
_ACK: Final = 0x1
_UPDATE_BYTES: Final = 16_384  # received before they are acknowledged, as by the load program
_STAGES: Final = ("connect", "delivery", "leave")


def _frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream_id) + payload


def _head(scheme: str) -> bytes:
    """Encode a request as the load program does: literal fields without indexing, names by index."""
    fields = [
        (b"\x02", b"GET"),
        (b"\x06", scheme.encode()),
        (b"\x01", b"127.0.0.1:8080"),
        (b"\x04", b"/events?topic=bench"),
        (b"\x0f\x04", b"text/event-stream"),
    ]
    return b"".join([name + bytes([len(value)]) + value for name, value in fields])


class Client:
    """One connection with some event streams, on a blocking socket.

    Args:
        port: of the server.
        streams: their number.
        tls: None: without TLS.
    """

    def __init__(self, port: int, streams: int, tls: ssl.SSLContext | None) -> None:
        self._socket: socket.socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self._socket = tls.wrap_socket(self._socket)
        self._streams = streams
        self._received = b""
        self._unacknowledged = collections.Counter[int]()
        head = _head("http" if tls is None else "https")
        requests = [_frame(_HEADERS, _END_OF_REQUEST, 2 * index + 1, head) for index in range(streams)]
        settings = _frame(_SETTINGS, 0, 0, struct.pack(">HI", 2, 0))
        self._socket.sendall(_PREFACE + settings + b"".join(requests))
        self._wait_for(_HEADERS, b"")

    def wait_for_event(self) -> None:
        """Return when each stream has got one event."""
        self._wait_for(_DATA, _FILLER.encode())

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def _wait_for(self, kind: int, content: bytes) -> None:
        missing = self._streams
        while missing:
            for found, flags, stream_id, payload in self._read_frames():
                if found == _SETTINGS and not flags & _ACK:
                    self._socket.sendall(_frame(_SETTINGS, _ACK, 0, b""))
                if found == _DATA:
                    self._acknowledge(0, len(payload))
                    self._acknowledge(stream_id, len(payload))
                missing -= found == kind and content in payload

    def _read_frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        data = self._socket.recv(65_536)
        if not data:
            raise ConnectionError("the server has closed the connection")
        self._received += data
        while len(self._received) >= 9:
            length = int.from_bytes(self._received[:3], "big")
            if len(self._received) < 9 + length:
                return
            kind, flags, stream_id = struct.unpack(">BBI", self._received[3:9])
            payload, self._received = self._received[9 : 9 + length], self._received[9 + length :]
            yield kind, flags, stream_id, payload

    def _acknowledge(self, stream_id: int, size: int) -> None:
        self._unacknowledged[stream_id] += size
        if self._unacknowledged[stream_id] >= _UPDATE_BYTES:
            size = self._unacknowledged.pop(stream_id)
            self._socket.sendall(_frame(_WINDOW_UPDATE, 0, stream_id, struct.pack(">I", size)))


@attrs.frozen
class Clients:
    """All clients of a round.

    Args:
        port: of the server.
        connections: their number.
        streams: on each connection.
        tls: None: without TLS.
    """

    port: int
    connections: int
    streams: int
    tls: ssl.SSLContext | None
    _open: list[Client] = attrs.field(init=False, factory=list)

    def connect(self) -> None:
        """Connect all of them, one after the other."""
        for _ in range(self.connections):
            self._open.append(Client(self.port, self.streams, self.tls))

    def wait_for_event(self) -> None:
        """Return when each stream has got one event."""
        for client in self._open:
            client.wait_for_event()

    def leave(self) -> None:
        """Close all connections."""
        while self._open:
            self._open.pop().close()


class CPUTime:
    """CPU time of this thread by stage, the best of some rounds."""

    def __init__(self) -> None:
        self._rounds: dict[str, list[float]] = {stage: [] for stage in _STAGES}

    @contextmanager
    def stage(self, name: str, units: int) -> Iterator[None]:
        """Measure a stage, which does a thing some times."""
        began = time.thread_time()
        yield
        self._rounds[name].append((time.thread_time() - began) / units * 1e6)

    def show(self) -> None:
        """Print the figures."""
        for name, rounds in self._rounds.items():
            rounds.sort()
            print(f"{name:8} {rounds[0]:8.2f} µs  (median {rounds[len(rounds) // 2]:.2f})", flush=True)


class Instructions:
    """Bytecode instructions of this thread by stage and function."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._counts = {stage: collections.Counter[CodeType]() for stage in _STAGES}
        self._calls = {stage: collections.Counter[CodeType]() for stage in _STAGES}
        self._units = collections.Counter[str]()

    @contextmanager
    def stage(self, name: str, units: int) -> Iterator[None]:
        """Count in a stage, which does a thing some times."""
        counts, calls = self._counts[name], self._calls[name]
        self._units[name] += units

        def count(frame: FrameType, event: str, _: Any) -> Any:
            if event == "opcode":
                counts[frame.f_code] += 1
            return count

        def enter(frame: FrameType, _event: str, _argument: Any) -> Any:
            calls[frame.f_code] += 1
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            return count

        sys.settrace(enter)
        yield
        sys.settrace(None)

    def show(self) -> None:
        """Print the figures."""
        for name in _STAGES:
            units, counts, calls = self._units[name], self._counts[name], self._calls[name]
            total, called = counts.total() / units, calls.total() / units
            print(f"{name}: {total:,.0f} instructions in {called:,.1f} functions")
            for code, count in counts.most_common(self._rows):
                path = code.co_filename.split("site-packages/")[-1]
                path = path[path.find("streamd/server") :] if "streamd/server" in path else path
                print(f"{count / units:10.1f} {calls[code] / units:7.2f}  {path} {code.co_qualname}")


async def measure(arguments: argparse.Namespace, folder: Path) -> None:
    """Serve, and print the figures of some rounds."""
    server: dict[str, Any] = {"bind": ("127.0.0.1:0",)}
    tls = None
    if not arguments.plain:
        certificate = make_certificate(folder)
        server |= {"certfile": str(certificate.chain), "keyfile": str(certificate.key)}
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        tls.set_alpn_protocols(["h2"])
    settings = Settings()
    settings = attrs.evolve(
        settings,
        server=attrs.evolve(settings.server, **server),
        log=attrs.evolve(settings.log, url="memory:"),
        store=attrs.evolve(settings.store, url="memory:"),
    )
    app = streamd_app.create_app(settings)
    meter = Instructions(arguments.rows) if arguments.count else CPUTime()
    async with streamd_app.running(app) as streamd, trio.open_nursery() as nursery:
        tune_collector(settings.server)

        async def run(*, task_status: trio.TaskStatus[list[str]]) -> None:
            if hasattr(streamd_app, "serve_app"):
                await streamd_app.serve_app(app, settings, task_status=task_status)
            else:  # another checkout
                await serve(app, settings.server, task_status=task_status)

        (address,) = await nursery.start(run)
        clients = Clients(int(address.rpartition(":")[2]), arguments.connections, arguments.streams, tls)
        streams = arguments.connections * arguments.streams
        for number in range(arguments.rounds + 1):
            measured = meter if number else CPUTime()  # the first round warms up
            gc.collect()
            with measured.stage("connect", streams):
                await trio.to_thread.run_sync(clients.connect)
                await trio.testing.wait_all_tasks_blocked()
            with measured.stage("delivery", streams * arguments.events):
                for _ in range(arguments.events):
                    await streamd.publish(_TOPIC, _FILLER)
                    await trio.to_thread.run_sync(clients.wait_for_event)
                    await trio.testing.wait_all_tasks_blocked()
            with measured.stage("leave", streams):
                clients.leave()
                await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    meter.show()


def main() -> None:
    """Parse the command line, and measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.http2_cost")
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--streams", type=int, default=10, help="of each connection")
    parser.add_argument("--events", type=int, default=20, help="of each round, to every stream")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--plain", action="store_true", help="without TLS")
    parser.add_argument("--count", action="store_true", help="count instructions in place of CPU time")
    parser.add_argument("--rows", type=int, default=40, help="functions to print with --count")
    arguments = parser.parse_args()
    configure_logging(LoggingSettings(level="warning"))
    with tempfile.TemporaryDirectory() as folder:
        trio.run(measure, arguments, Path(folder))


if __name__ == "__main__":
    main()
