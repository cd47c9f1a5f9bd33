"""Small servers that send exactly the bytes of a test, and the C load program that reads from them."""

import base64
import hashlib
import itertools
import json
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from subprocess import PIPE
from typing import Any

import h2.config
import h2.connection
import h2.events
import trio
import wsproto
import wsproto.events

from bench.native import build

DEADLINE_SECONDS = 60
READER_DEADLINE_SECONDS = 40  # it reports its results before the test times out
WINDOW_BYTES = 65_535  # initial flow-control window (RFC 9113 section 6.9.2)
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

Handler = Callable[[trio.abc.Stream], Awaitable[None]]


@asynccontextmanager
async def serve(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncGenerator[int]:
    """Run a server for the block, and yield its port."""
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        listeners: list[Any] = [trio.SSLListener(listener, tls) if tls else listener]
        nursery.start_soon(partial(trio.serve_listeners, handler, listeners))
        yield port
        nursery.cancel_scope.cancel()


class Load:
    """A running load program."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._text = b""

    async def line(self) -> dict[str, Any]:
        """Read the next line that it prints.

        Raises:
            RuntimeError: it ended; the message is its standard error.
        """
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        while b"\n" not in self._text:
            data = await self._process.stdout.receive_some()
            if not data:
                raise RuntimeError((await read_all(self._process.stderr)).decode())
            self._text += data
        line, _, self._text = self._text.partition(b"\n")
        value: dict[str, Any] = json.loads(line)
        return value

    async def again(self) -> None:
        """Ask it to measure once more."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(b"again\n")

    async def finish(self) -> int:
        """Close its standard input, wait for its end, and return its exit status."""
        assert self._process.stdin is not None
        await self._process.stdin.aclose()
        return await self._process.wait()


@asynccontextmanager
async def run_load(
    port: int, protocol: str, *options: str, clients: int = 1, events: int = 1
) -> AsyncGenerator[Load]:
    """Run the C load program for the block.

    Raises:
        trio.TooSlowError: the block took longer than a minute.
    """
    command = [str(build("load")), "--host", "127.0.0.1", "--port", str(port), "--protocol", protocol]
    command += ["--path", "/events?topic=bench", "--clients", str(clients), "--events", str(events)]
    command += ["--deadline", str(READER_DEADLINE_SECONDS), *options]
    process = await trio.lowlevel.open_process(command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    try:
        with trio.fail_after(DEADLINE_SECONDS):
            yield Load(process)
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    return b"".join([data async for data in stream])


async def read_head(stream: trio.abc.Stream) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = await stream.receive_some()
        assert data, "the client left before its request was complete"
        head += data
    return head


async def hold(stream: trio.abc.Stream) -> None:
    """Wait until the client closes."""
    try:
        while await stream.receive_some():
            pass
    except trio.BrokenResourceError:
        pass  # the client left bytes unread, or closed TCP without close_notify


def data_of(number: int, length: int = 40, ago_ns: int = 0) -> bytes:
    """Build an event's data of about ``length`` bytes, published ``ago_ns`` nanoseconds ago."""
    return b"bench %d %d " % (number, time.monotonic_ns() - ago_ns) + b"x" * length


def block(number: int, length: int = 40, ago_ns: int = 0) -> bytes:
    """Build an event as a block of an event stream."""
    return b"id: 1-%d\ndata: " % number + data_of(number, length, ago_ns) + b"\n\n"


def chunked(body: bytes, sizes: Iterable[int]) -> bytes:
    """Encode ``body`` in chunks of these sizes, without the last empty one."""
    chunks, at = [], 0
    for size in sizes:
        if at >= len(body):
            break
        part = body[at : at + size]
        chunks.append(b"%x\r\n%s\r\n" % (len(part), part))
        at += size
    return b"".join(chunks)


def answering(answer: Callable[[int], bytes], *, close: bool = False) -> Handler:
    """Return a handler that sends ``answer(n)`` to the n-th client, counted from 0."""
    counter = itertools.count()

    async def handler(stream: trio.abc.Stream) -> None:
        number = next(counter)
        head = await read_head(stream)
        assert head.startswith(b"GET /events?topic=bench HTTP/1.1\r\n")
        assert b"\r\nAccept: text/event-stream\r\n" in head
        try:
            await stream.send_all(answer(number))
            if not close:
                await hold(stream)
        except trio.BrokenResourceError:
            pass  # as in hold
        await trio.aclose_forcefully(stream)

    return handler


class WebSocketPeer:
    """Accepts a WebSocket, answers, and records the client's frames; wsproto rejects unmasked ones."""

    def __init__(self, answer: Callable[[wsproto.WSConnection], bytes]) -> None:
        self._answer = answer
        self.pongs: list[bytes] = []
        self.closes: list[int] = []

    async def __call__(self, stream: trio.abc.Stream) -> None:
        connection = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        try:
            async for data in stream:
                connection.receive_data(bytes(data))
                for event in connection.events():
                    await self._take(stream, connection, event)
        except trio.BrokenResourceError:
            pass  # as in hold

    async def _take(
        self, stream: trio.abc.Stream, connection: wsproto.WSConnection, event: wsproto.events.Event
    ) -> None:
        if isinstance(event, wsproto.events.Request):
            accepted = connection.send(wsproto.events.AcceptConnection())
            await stream.send_all(accepted + self._answer(connection))
        elif isinstance(event, wsproto.events.Pong):
            self.pongs.append(bytes(event.payload))
        elif isinstance(event, wsproto.events.CloseConnection):
            self.closes.append(event.code)


def switching_protocols(head: bytes) -> bytes:
    """Build the correct answer to a WebSocket handshake."""
    key = next(line for line in head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key: "))[19:]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    return b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"


class HTTP2Peer:
    """Answers the requests of a connection, once all have arrived, with interleaved pieces of the bodies.

    It never uses more than half of a window, so that it ends only if the client returns credit in time.
    """

    def __init__(self, bodies: Sequence[bytes], *, status: str = "200", last: bytes = b"") -> None:
        self._bodies = bodies
        self._status = status
        self._last = last  # sent unchanged after everything else
        self.pings = self.settings = self.updates = 0

    async def __call__(self, stream: trio.abc.Stream) -> None:
        http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        http.initiate_connection()
        await stream.send_all(http.data_to_send())
        left: dict[int, bytes] = {}
        last = self._last
        try:
            async for data in stream:
                for event in http.receive_data(data):
                    self._take(http, event, left)
                self._send(http, left)
                await stream.send_all(http.data_to_send())
                if left and last and not any(left.values()):
                    await stream.send_all(last)
                    last = b""
        except trio.BrokenResourceError:
            pass  # as in hold

    def _take(self, http: h2.connection.H2Connection, event: h2.events.Event, left: dict[int, bytes]) -> None:
        if isinstance(event, h2.events.RequestReceived):
            assert (b":path", b"/events?topic=bench") in event.headers
            assert (b":method", b"GET") in event.headers
            left[event.stream_id] = b""
            if len(left) == len(self._bodies):
                self._answer(http, left)
        self.pings += isinstance(event, h2.events.PingAckReceived) and event.ping_data == b"pingpong"
        self.settings += isinstance(event, h2.events.SettingsAcknowledged)
        self.updates += isinstance(event, h2.events.WindowUpdated)

    def _answer(self, http: h2.connection.H2Connection, left: dict[int, bytes]) -> None:
        http.ping(b"pingpong")
        for (stream_id, _), body in zip(sorted(left.items()), self._bodies, strict=True):
            # A field of this length needs CONTINUATION frames.
            http.send_headers(stream_id, [(":status", self._status), ("x-filler", "~" * 20_000)])
            left[stream_id] = body

    def _send(self, http: h2.connection.H2Connection, left: dict[int, bytes]) -> None:
        going = True
        while going:
            going = False
            for stream_id, body in left.items():
                padding = 1 + len(body) % 200
                usable = http.local_flow_control_window(stream_id) - WINDOW_BYTES // 2 - padding - 1
                size = min(usable, 1 + len(body) % 1_501)
                if body and usable > 0:
                    http.send_data(stream_id, body[:size], pad_length=padding)
                    left[stream_id] = body[size:]
                    going = True
