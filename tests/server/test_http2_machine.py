"""HTTP/2: a client that sends frames in any order, valid and not, and judges each answer (RFC 9113).

After each rule a PING shows that the server has processed the frames. Whatever a client has sent, every
request is answered once; a violation ends its stream or the connection with the code of its kind; what the
server holds stays bounded; and no exception goes unhandled.
"""

import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import attrs
import hpack
import pytest
import trio
from h2.errors import ErrorCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
)

from streamd.server.settings import ServerSettings
from streamd.transports.asgi import find_transport
from tests.support.http2_app import answer, head
from tests.support.http2_frames import GET, PREFACE
from tests.support.machines import run_machine
from tests.support.server_thread import ServerThread, server_thread

MAX_STREAMS: Final = 5
LARGE: Final = b"x" * 100_000  # more than the client's windows
INDEX: Final = st.integers(0, 99)  # of a stream; draws must not depend on what the server does
LENGTH: Final = (b"content-length", b"3")
BEGUN: Final = b"x-stream"
CODES: Final = ErrorCodes


@attrs.define
class Invocation:
    """One request that reached the application."""

    stream_id: int
    port: int  # of the client: a request may begin when its client has left, and the next one is there
    protocol: Any  # of its connection
    body: int = 0  # bytes that were read


@attrs.define
class Recorder:
    """An application that answers the size of a body, and records what it was asked.

    ``/large`` is answered with more than a window, ``/held`` is not answered, and its body is not read.
    """

    asked: list[Invocation] = attrs.field(factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        fields = dict(scope["headers"])
        transport: Any = find_transport(scope)
        invocation = Invocation(int(fields[BEGUN]), scope["client"][1], transport._protocol)
        self.asked.append(invocation)
        if scope["path"] == "/held":
            left = trio.Event()
            transport.watch(left.set)
            await left.wait()
            return
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            invocation.body += len(message.get("body", b""))
            more = message.get("more_body", False)
        await answer(send, LARGE if scope["path"] == "/large" else b"%d" % invocation.body)


@attrs.define
class Exchange:
    """A stream, as the client knows it.

    Attributes:
        path: of its request.
        sent: size of the body so far (bytes).
        is_sent: its last frame was sent.
        is_reset: either side has reset it.
        window: bytes that the server may still send.
        status: of the answer.
        body: of the answer, so far.
        is_answered: its last frame was received.
    """

    path: bytes
    window: int
    sent: int = 0
    is_sent: bool = False
    is_reset: bool = False
    status: bytes = b""
    body: int = 0
    is_answered: bool = False

    @property
    def wanted(self) -> int:
        """The size of the answer (bytes)."""
        return len(LARGE) if self.path == b"/large" else len(b"%d" % self.sent)

    @property
    def is_over(self) -> bool:
        return self.is_reset or (self.is_sent and self.is_answered)


def raw(type: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """Build a frame that hyperframe would not."""
    return len(payload).to_bytes(3, "big") + bytes([type, flags]) + stream_id.to_bytes(4, "big") + payload


class HTTP2Machine(RuleBasedStateMachine):
    """A client of one connection after the other."""

    server: ServerThread
    recorder: Recorder

    def __init__(self) -> None:
        super().__init__()
        self.connect()

    def connect(self) -> None:
        """Begin a connection."""
        self.recorder.asked.clear()
        self.server.logs.clear()
        self.socket: socket.socket = self.server.connect()
        self.port = self.socket.getsockname()[1]
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.streams: dict[int, Exchange] = {}
        self.next_id = 1
        self.window, self.initial_window = 65_535, 65_535  # of the client, for what the server sends
        self.credit, self.initial_credit = 65_535, 65_535  # of the server
        self.credits: dict[int, int] = {}
        self.goaway: int | None = None  # its code
        self.closed = False
        self.pongs: set[bytes] = set()
        self.resets: dict[int, int] = {}  # codes by stream id, of the server
        self.pings = 0
        self.buffer = bytearray()
        self.socket.sendall(PREFACE)
        self.send(SettingsFrame(0))

    @property
    def invocations(self) -> list[Invocation]:
        """The requests of this connection that reached the application."""
        return [invocation for invocation in self.recorder.asked if invocation.port == self.port]

    def teardown(self) -> None:
        self.end()

    def restart_if_closed(self) -> None:
        """Judge a connection that the server has ended, and begin the next one."""
        if self.closed:
            self.judge()
            self.end()
            self.connect()

    def end(self) -> None:
        """Open the windows, and expect the answer to each request that is complete."""
        if not self.closed:
            self.widen(10_000_000)
        for stream_id, exchange in self.streams.items():
            if exchange.path != b"/held" and exchange.is_sent and not exchange.is_over and not self.closed:
                exchange.window += 10_000_000
                self.send(WindowUpdateFrame(stream_id, 10_000_000))
                assert exchange.is_answered
        self.socket.close()
        self.server.check_logs()

    # --- the connection -------------------------------------------------------------------------

    def send(self, *frames: Frame | bytes) -> None:
        """Send frames, and read up to the answer to a PING behind them, or to the end of the connection."""
        self.pings += 1
        payload = self.pings.to_bytes(8, "big")
        data = b"".join(frame if isinstance(frame, bytes) else frame.serialize() for frame in frames)
        with suppress(ConnectionError):
            self.socket.sendall(data + PingFrame(0, payload).serialize())
        while not self.closed and (
            payload not in self.pongs or any(map(self.expects, self.streams.values()))
        ):
            self.read()

    def widen(self, size: int) -> None:
        self.window += size
        self.send(WindowUpdateFrame(0, size))

    def expects(self, exchange: Exchange) -> bool:
        """Return True if the server can send more of an answer."""
        if not exchange.is_sent or exchange.is_over or exchange.path == b"/held":
            return False
        return min(exchange.window, self.window) > 0 or exchange.body == exchange.wanted

    def read(self) -> None:
        """Read and judge the next bytes."""
        try:
            data = self.socket.recv(65_536)
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
            assert self.goaway is not None, "the connection ends with a GOAWAY"
            return
        self.buffer += data
        while len(self.buffer) >= 9:
            frame, size = Frame.parse_frame_header(memoryview(self.buffer[:9]))
            if len(self.buffer) < 9 + size:
                return
            frame.parse_body(memoryview(self.buffer[9 : 9 + size]))
            del self.buffer[: 9 + size]
            self.take(frame)

    def take(self, frame: Frame) -> None:
        """Judge a frame of the server."""
        if isinstance(frame, HeadersFrame):
            assert "END_HEADERS" in frame.flags
            fields = dict(self.decoder.decode(frame.data, raw=True))
            exchange = self.streams[frame.stream_id]
            assert not exchange.status, "a request is answered once"
            assert frame.stream_id not in self.resets
            exchange.status = bytes(fields[b":status"])
        elif isinstance(frame, DataFrame):
            exchange = self.streams[frame.stream_id]
            assert exchange.status
            assert not exchange.is_answered
            assert frame.stream_id not in self.resets
            exchange.window -= frame.flow_controlled_length
            self.window -= frame.flow_controlled_length
            assert self.window >= 0, "the connection's window"
            assert exchange.window >= 0 or not frame.data, "the stream's window"
            exchange.body += len(frame.data)
        elif isinstance(frame, RstStreamFrame):
            assert frame.stream_id in self.streams
            self.resets.setdefault(frame.stream_id, frame.error_code)
            self.streams[frame.stream_id].is_reset = True
        elif isinstance(frame, GoAwayFrame):
            assert self.goaway is None
            self.goaway = frame.error_code
        elif isinstance(frame, PingFrame):
            assert "ACK" in frame.flags
            self.pongs.add(frame.opaque_data)
        elif isinstance(frame, WindowUpdateFrame):
            if frame.stream_id:
                self.credits[frame.stream_id] += frame.window_increment
            else:
                self.credit += frame.window_increment
        elif isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            size = frame.settings.get(SettingsFrame.INITIAL_WINDOW_SIZE, self.initial_credit)
            for stream_id in self.credits:
                self.credits[stream_id] += size - self.initial_credit
            self.initial_credit = size
            with suppress(ConnectionError):
                self.socket.sendall(SettingsFrame(0, flags=["ACK"]).serialize())
        if "END_STREAM" in frame.flags:
            self.streams[frame.stream_id].is_answered = True

    def violate(self, frames: list[Frame | bytes], *codes: ErrorCodes) -> None:
        """Send frames that are a connection error of one of some kinds."""
        self.send(*frames)
        assert self.closed
        assert self.goaway in codes, self.goaway
        self.restart_if_closed()

    def violate_stream(self, stream_id: int, frames: list[Frame | bytes], *codes: ErrorCodes) -> None:
        """Send frames that are a stream error; the server may treat it as one of the connection."""
        self.send(*frames)
        code = self.resets.get(stream_id, self.goaway)
        assert code in codes, code
        self.streams[stream_id].is_reset = True
        self.restart_if_closed()

    def begin(
        self, path: bytes, method: bytes, *, end: bool, wrong: list[tuple[bytes, bytes]] | None = None
    ) -> tuple[int, bytes]:
        """Begin a stream, and return its id and the block of its head, or of a wrong one."""
        stream_id = self.next_id
        self.next_id += 2
        self.streams[stream_id] = Exchange(path, self.initial_window, is_sent=end)
        self.credits[stream_id] = self.initial_credit
        fields = wrong or head(path, method)
        return stream_id, self.encoder.encode([*fields, (BEGUN, b"%d" % stream_id)])

    def pick(self, index: int, stream_ids: Collection[int]) -> int | None:
        """Choose one of some streams; None if there is none."""
        return sorted(stream_ids)[index % len(stream_ids)] if stream_ids else None

    @property
    def open_streams(self) -> list[int]:
        return [stream_id for stream_id, exchange in self.streams.items() if not exchange.is_over]

    @property
    def unsent(self) -> list[int]:
        """Streams on which the client may send DATA."""
        return [id for id, it in self.streams.items() if not (it.is_sent or it.is_reset)]

    @property
    def has_room(self) -> bool:
        return len(self.open_streams) < MAX_STREAMS

    # --- what a client may do -------------------------------------------------------------------

    @rule(path=st.sampled_from([b"/", b"/large", b"/held"]), parts=st.integers(1, 3))
    def ask(self, path: bytes, parts: int) -> None:
        if not self.has_room:
            return
        stream_id, block = self.begin(path, b"GET", end=True)
        size = -(-len(block) // parts)
        frames: list[Frame] = [HeadersFrame(stream_id, block[:size], flags=["END_STREAM"])]
        frames += [
            ContinuationFrame(stream_id, block[start : start + size])
            for start in range(size, len(block), size)
        ]
        frames[-1].flags.add("END_HEADERS")
        self.send(*frames)

    @rule(path=st.sampled_from([b"/", b"/held"]))
    def begin_body(self, path: bytes) -> None:
        if not self.has_room:
            return
        stream_id, block = self.begin(path, b"POST", end=False)
        self.send(HeadersFrame(stream_id, block, flags=["END_HEADERS"]))

    @rule(index=INDEX, size=st.sampled_from([0, 1, 1_000, 16_000]), end=st.booleans())
    def send_body(self, index: int, size: int, end: bool) -> None:
        if (stream_id := self.pick(index, self.unsent)) is None:
            return
        exchange = self.streams[stream_id]
        size = max(0, min(size, self.credit, self.credits[stream_id]))
        exchange.sent += size
        exchange.is_sent = end
        self.credit -= size
        self.credits[stream_id] -= size
        self.send(DataFrame(stream_id, b"x" * size, flags=["END_STREAM"] if end else []))

    @rule(index=INDEX)
    def send_trailers(self, index: int) -> None:
        if (stream_id := self.pick(index, self.unsent)) is None:
            return
        self.streams[stream_id].is_sent = True
        block = self.encoder.encode([(b"x-checksum", b"1")])
        self.send(HeadersFrame(stream_id, block, flags=["END_HEADERS", "END_STREAM"]))

    @rule(index=INDEX, code=st.integers(0, 20))
    def reset(self, index: int, code: int) -> None:
        if (stream_id := self.pick(index, self.streams)) is None:
            return
        self.send(RstStreamFrame(stream_id, code))
        self.streams[stream_id].is_reset = True

    @rule(size=st.sampled_from([1, 1_000, 100_000]))
    def widen_connection(self, size: int) -> None:
        self.widen(size)

    @rule(index=INDEX, size=st.sampled_from([1, 1_000, 100_000]))
    def widen_stream(self, index: int, size: int) -> None:
        if (stream_id := self.pick(index, self.streams)) is None:
            return
        self.streams[stream_id].window += size
        self.send(WindowUpdateFrame(stream_id, size))

    @rule(size=st.sampled_from([0, 1, 1_000, 65_535, 200_000]))
    def change_window(self, size: int) -> None:
        for exchange in self.streams.values():
            exchange.window += max(0, size - self.initial_window)
        self.send(SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: size}))
        for exchange in self.streams.values():
            exchange.window += min(0, size - self.initial_window)
        self.initial_window = size

    @rule(
        frame=st.sampled_from(
            [
                PriorityFrame(9, depends_on=3, stream_weight=5),
                raw(0xEE, 0xFF, 0, b"x"),
                raw(0xEE, 0, 7, b""),
                SettingsFrame(0, {0x99: 1, SettingsFrame.MAX_HEADER_LIST_SIZE: 9}),
                SettingsFrame(0, {SettingsFrame.HEADER_TABLE_SIZE: 0}),
                SettingsFrame(0),
                PingFrame(0, b"another!", flags=["ACK"]),
            ]
        )
    )
    def send_what_changes_nothing(self, frame: Frame | bytes) -> None:
        self.send(frame)

    # --- what a client must not do --------------------------------------------------------------

    @rule(
        violation=st.sampled_from(
            [
                (DataFrame(1_001, b"x"), CODES.PROTOCOL_ERROR),  # an idle stream
                (WindowUpdateFrame(1_001, 1), CODES.PROTOCOL_ERROR),
                (RstStreamFrame(1_001, 8), CODES.PROTOCOL_ERROR),
                (HeadersFrame(2, hpack.Encoder().encode(GET), flags=["END_HEADERS"]), CODES.PROTOCOL_ERROR),
                (raw(0, 0, 0, b"x"), CODES.PROTOCOL_ERROR),  # DATA of stream 0
                (raw(1, 4, 0, b"\x82"), CODES.PROTOCOL_ERROR),  # HEADERS
                (raw(3, 0, 0, b"\0\0\0\0"), CODES.PROTOCOL_ERROR),  # RST_STREAM
                (raw(4, 0, 1, b""), CODES.PROTOCOL_ERROR),  # SETTINGS of a stream
                (raw(4, 1, 0, b"\0\0\0\0\0\0"), CODES.FRAME_SIZE_ERROR),  # their answer has no content
                (raw(4, 0, 0, b"12345"), CODES.FRAME_SIZE_ERROR),
                (raw(6, 0, 0, b"1234567"), CODES.FRAME_SIZE_ERROR),  # PING
                (raw(6, 0, 1, b"12345678"), CODES.PROTOCOL_ERROR),
                (raw(7, 0, 1, b"\0" * 8), CODES.PROTOCOL_ERROR),  # GOAWAY of a stream
                (raw(8, 0, 0, b"\0\0\0"), CODES.FRAME_SIZE_ERROR),  # WINDOW_UPDATE
                (raw(8, 0, 0, b"\0\0\0\0"), CODES.PROTOCOL_ERROR),
                (raw(9, 4, 1, b"\x82"), CODES.PROTOCOL_ERROR),  # CONTINUATION without HEADERS
                (raw(0, 0, 1, b"x" * 16_385), CODES.FRAME_SIZE_ERROR),
                (raw(0, 8, 1, b"\x09x"), CODES.PROTOCOL_ERROR),  # longer padding than content
                (raw(1, 4, 1_001, b"\xff\xff\xff\xff\xff"), CODES.COMPRESSION_ERROR),
                (raw(1, 4, 1_001, b"\xff\xff\x7f"), CODES.COMPRESSION_ERROR),  # an index beyond any table
                (PushPromiseFrame(1, 2, data=b"\x82", flags=["END_HEADERS"]), CODES.PROTOCOL_ERROR),
                (SettingsFrame(0, {SettingsFrame.ENABLE_PUSH: 2}), CODES.PROTOCOL_ERROR),
                (SettingsFrame(0, {SettingsFrame.MAX_FRAME_SIZE: 1}), CODES.PROTOCOL_ERROR),
                (SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 2**31}), CODES.FLOW_CONTROL_ERROR),
                (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", CODES.FRAME_SIZE_ERROR),
            ]
        )
    )
    def break_a_rule(self, violation: tuple[Frame | bytes, ErrorCodes]) -> None:
        frame, code = violation
        self.violate([frame], code)

    @rule()
    def widen_beyond_the_largest_window(self) -> None:
        largest = 2**31 - 1
        self.window += largest  # a window that was used up may get as much, and the server may use it
        self.violate([WindowUpdateFrame(0, largest)] * 2, CODES.FLOW_CONTROL_ERROR)

    @rule()
    def interrupt_a_head(self) -> None:
        stream_id, block = self.begin(b"/", b"GET", end=True)
        self.violate([HeadersFrame(stream_id, block), DataFrame(stream_id, b"")], CODES.PROTOCOL_ERROR)

    @rule(
        fields=st.sampled_from(
            [
                GET[:2],
                [*GET, (b":path", b"/")],
                [*GET, (b"Upper", b"1")],
                [*GET, (b"connection", b"close")],
                [*GET, (b"te", b"gzip")],
                [GET[0], (b"x", b"1"), *GET[1:]],
                [*GET, (b":status", b"200")],
                [*GET, (b"content-length", b"1")],
            ]
        )
    )
    def send_a_malformed_head(self, fields: list[tuple[bytes, bytes]]) -> None:
        if not self.has_room:
            return
        stream_id, block = self.begin(b"/", b"GET", end=True, wrong=fields)
        self.send(HeadersFrame(stream_id, block, flags=["END_HEADERS", "END_STREAM"]))
        exchange = self.streams[stream_id]
        if not exchange.status:
            assert self.resets.get(stream_id, self.goaway) == CODES.PROTOCOL_ERROR
            exchange.is_reset = True
        else:
            assert exchange.status == b"400"
        assert stream_id not in [invocation.stream_id for invocation in self.invocations]
        self.restart_if_closed()

    @rule(size=st.sampled_from([0, 2]))
    def end_a_body_of_another_length(self, size: int) -> None:
        if not self.has_room:
            return
        stream_id, block = self.begin(b"/", b"POST", end=True, wrong=[*head(b"/", b"POST"), LENGTH])
        begin: list[Frame] = [HeadersFrame(stream_id, block, flags=["END_HEADERS"])]
        if size:
            begin.append(DataFrame(stream_id, b"x" * size))
            self.streams[stream_id].sent = size
            self.credit -= size
        trailers = self.encoder.encode([(b"x-checksum", b"1")])
        end = HeadersFrame(stream_id, trailers, flags=["END_HEADERS", "END_STREAM"])
        self.violate_stream(stream_id, [*begin, end], CODES.PROTOCOL_ERROR)

    @rule(index=INDEX)
    def send_after_the_end(self, index: int) -> None:
        ended = sorted(id for id, it in self.streams.items() if it.is_sent)
        if (stream_id := self.pick(index, ended)) is None:
            return
        was_over = self.streams[stream_id].is_over
        self.send(DataFrame(stream_id, b"x"))
        self.credit -= 1
        code = self.goaway if self.closed else self.resets.get(stream_id, CODES.STREAM_CLOSED)
        assert code == CODES.STREAM_CLOSED or was_over
        self.streams[stream_id].is_reset = True
        self.restart_if_closed()

    @rule(index=INDEX)
    def widen_a_stream_by_nothing(self, index: int) -> None:
        if (stream_id := self.pick(index, self.open_streams)) is None:
            return
        self.violate_stream(stream_id, [raw(8, 0, stream_id, b"\0\0\0\0")], CODES.PROTOCOL_ERROR)

    # --- what always holds ----------------------------------------------------------------------

    @invariant()
    def judge(self) -> None:
        """Check what holds after any frames."""
        self.server.check_logs()
        invocations = self.invocations
        asked = [invocation.stream_id for invocation in invocations]
        assert asked == sorted(set(asked)), "requests reach the application once, and in order"
        assert set(asked) <= set(self.streams)
        for invocation in invocations:
            assert invocation.body <= self.streams[invocation.stream_id].sent
        for exchange in self.streams.values():
            if exchange.is_answered and exchange.status == b"200":
                assert exchange.body == exchange.wanted
        if invocations:
            protocol = invocations[0].protocol
            assert len(protocol.streams) <= MAX_STREAMS
            assert len(protocol.wires) <= MAX_STREAMS
            # That of a stream which was reset stays until the sending task comes to it.
            known = protocol.connection.streams
            open_ids = [each for each in list(protocol.stream_buffers) if each in known]
            assert sum(not known[each].closed for each in open_ids) <= MAX_STREAMS


@contextmanager
def machine() -> Iterator[type[HTTP2Machine]]:
    recorder = Recorder()
    options = ServerSettings(bind=["127.0.0.1:0"], http2_max_concurrent_streams=MAX_STREAMS)
    with server_thread(recorder, options) as server:
        yield type("Machine", (HTTP2Machine,), {"server": server, "recorder": recorder})


def run(examples: int, steps: int) -> None:
    with machine() as each:
        run_machine(each, examples=examples, steps=steps)


def test_a_frame_that_is_too_large_is_refused_by_its_header() -> None:
    with machine() as each:
        client = each()
        client.send(raw(0xEE, 0, 0, b"")[:9].replace(b"\0\0\0", b"\x47\x45\x54", 1))
        assert client.closed
        assert client.goaway == CODES.FRAME_SIZE_ERROR
        client.teardown()


def test_any_order_of_frames_is_answered_by_the_rules() -> None:
    run(40, 20)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_many_orders_of_frames_are_answered_by_the_rules() -> None:
    run(400, 50)
