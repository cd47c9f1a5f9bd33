"""WebSocket: a client that sends frames in any order, valid and not, and judges each answer (RFC 6455).

The application echoes each message. After each rule a ping shows that the server has processed the frames.
Whatever a client has sent, messages come back once and in order; a violation ends the connection with the
code of its kind, and the server then closes; it keeps no more than a message; no exception goes unhandled.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import attrs
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from wsproto.frame_protocol import CloseReason, Frame, FrameProtocol, Opcode

from streamd.transports.asgi import find_transport
from tests.support.client_rig import HANDSHAKE
from tests.support.machines import run_machine
from tests.support.server_thread import ServerThread, server_thread

MAX_BYTES: Final = 2_000
KEPT_BYTES_MAX: Final = MAX_BYTES + 65_536  # a message, and one read of the socket behind it
BAD_CLOSES: Final = (
    (b"\x03", CloseReason.PROTOCOL_ERROR),  # half a code
    (b"\x00\x01", CloseReason.PROTOCOL_ERROR),
    (b"\x03\xed", CloseReason.PROTOCOL_ERROR),  # 1005, which no frame may have
    (b"\x03\xe8\xff", CloseReason.INVALID_FRAME_PAYLOAD_DATA),
)


def frame(first: int, payload: bytes = b"", *, mask: bytes | None = b"\1\2\3\4", length: int = -1) -> bytes:
    """Build a frame from its first byte (FIN, reserved bits and opcode)."""
    size = len(payload) if length < 0 else length
    bit = 0 if mask is None else 0x80
    if size < 126:
        head = bytes([first, bit | size])
    elif size < 65_536:
        head = bytes([first, bit | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, bit | 127]) + size.to_bytes(8, "big")
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


PROTOCOL_ERRORS: Final = (
    frame(0x81, b"x", mask=None),
    frame(0xC1, b"x"),  # reserved bits
    frame(0xA2, b"x"),
    frame(0x83),  # reserved opcodes
    frame(0x8B),
    frame(0x09, b"x"),  # a ping in fragments
    frame(0x08),
    frame(0x89, b"x" * 126),  # a large ping
    frame(0x8A, b"x" * 126),
    frame(0x88, b"\x03\xe8" + b"x" * 124),
    b"\x81\xfe\x00\x01\0\0\0\0x",  # a length that needs no two bytes
    b"\x81\xff\x80" + b"\0" * 11,  # the highest bit of a length
)


@attrs.define
class Echo:
    """An application that echoes messages.

    Attributes:
        transport: of the newest connection.
    """

    transport: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.transport = find_transport(scope)
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"], "bytes": message["bytes"]})

    @property
    def kept_bytes(self) -> int:
        """Bytes that the server keeps of the connection."""
        return int(self.transport._size) + len(self.transport._client.read_ahead)


class WebSocketMachine(RuleBasedStateMachine):
    """A client of one connection after the other."""

    server: ServerThread
    echo: Echo

    def __init__(self) -> None:
        super().__init__()
        self.connect()

    def connect(self) -> None:
        """Open a WebSocket."""
        self.server.logs.clear()
        self.socket: socket.socket = self.server.connect()
        self.frames = FrameProtocol(client=True, extensions=[])
        self.sent: list[str | bytes] = []
        self.received: list[str | bytes] = []
        self.part: str | bytes | None = None  # of a message of the server's
        self.open_message: bytes | None = None  # sent so far, without its last fragment
        self.is_text = False
        self.pongs: list[bytes] = []
        self.pings = 0
        self.close: tuple[int, str] | None = None
        self.closed = False
        fields = "".join(f"{name}: {value}\r\n" for name, value in HANDSHAKE.items())
        self.socket.sendall(f"GET / HTTP/1.1\r\n{fields}\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.socket.recv(1)
        assert head.startswith(b"HTTP/1.1 101 ")

    def teardown(self) -> None:
        if not self.closed:
            self.send(frame(0x88, b"\x03\xe8"))
            self.read_to_end()
            assert self.close is not None
            assert self.close[0] == CloseReason.NORMAL_CLOSURE
        self.socket.close()
        self.judge()

    # --- the connection -------------------------------------------------------------------------

    def send(self, *frames: bytes, pieces: int = 1) -> None:
        """Send frames in some pieces, and read up to the answer to a ping behind them, or to the end."""
        self.pings += 1
        payload = b"barrier %d" % self.pings
        data = b"".join(frames) + frame(0x89, payload)
        size = -(-len(data) // pieces)
        with suppress(ConnectionError):
            for start in range(0, len(data), size):
                self.socket.sendall(data[start : start + size])
        while payload not in self.pongs and self.close is None and not self.closed:
            self.read()

    def read(self) -> None:
        """Read and judge the next bytes."""
        try:
            data = self.socket.recv(65_536)
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
            return
        self.frames.receive_bytes(data)
        for found in self.frames.received_frames():
            self.take(found)

    def take(self, found: Frame) -> None:
        """Judge a frame of the server."""
        assert self.close is None, "nothing follows a Close frame"
        if found.opcode is Opcode.PONG:
            self.pongs.append(bytes(found.payload))  # type: ignore[arg-type]
        elif found.opcode is Opcode.CLOSE:
            self.close = found.payload  # type: ignore[assignment]
        else:
            payload: Any = found.payload if isinstance(found.payload, str) else bytes(found.payload)  # type: ignore[arg-type]
            self.part = payload if self.part is None else self.part + payload
            if found.message_finished:
                self.received.append(self.part)
                self.part = None

    def read_to_end(self) -> None:
        while not self.closed:
            self.read()

    def violate(self, data: bytes, *codes: CloseReason) -> None:
        """Send frames that break a rule; the server closes with one of some codes, then its connection."""
        self.send(data)
        assert self.close is not None
        assert self.close[0] in codes, self.close
        with suppress(ConnectionError):
            self.socket.sendall(frame(0x88, self.close[0].to_bytes(2, "big")))
        self.read_to_end()
        self.restart()

    def restart(self) -> None:
        """Judge a connection that has ended, and open the next one."""
        self.socket.close()
        self.judge()
        self.connect()

    # --- what a client may do -------------------------------------------------------------------

    @rule(
        data=st.one_of(st.text(max_size=300), st.binary(max_size=MAX_BYTES)),
        cuts=st.lists(st.integers(0, MAX_BYTES), max_size=4),
        pieces=st.integers(1, 3),
        pings=st.booleans(),
    )
    def send_message(self, data: str | bytes, cuts: list[int], pieces: int, pings: bool) -> None:
        if self.open_message is not None:
            return
        payload = data.encode() if isinstance(data, str) else data
        ends = [*sorted(min(cut, len(payload)) for cut in cuts), len(payload)]
        frames, start = [], 0
        for number, end in enumerate(ends):
            opcode = (1 if isinstance(data, str) else 2) if number == 0 else 0
            last = 0x80 if number == len(ends) - 1 else 0
            frames.append(frame(last | opcode, payload[start:end]))
            if pings and not last:
                frames.append(frame(0x89, b"between"))
            start = end
        self.sent.append(data)
        self.send(*frames, pieces=pieces)

    @rule(payload=st.binary(max_size=125), opcode=st.sampled_from([0x89, 0x8A]))
    def send_ping_or_pong(self, payload: bytes, opcode: int) -> None:
        before = len(self.pongs)
        self.send(frame(opcode, payload))
        answers = [payload] if opcode == 0x89 else []
        assert self.pongs[before:] == [*answers, b"barrier %d" % self.pings]

    @rule(payload=st.binary(max_size=500), is_text=st.booleans())
    def begin_message(self, payload: bytes, is_text: bool) -> None:
        if self.open_message is None:
            payload = b"a" * len(payload) if is_text else payload
            self.open_message, self.is_text = payload, is_text
            self.send(frame(1 if is_text else 2, payload))

    @rule(size=st.integers(0, 700), last=st.booleans())
    def continue_message(self, size: int, last: bool) -> None:
        if self.open_message is None:
            return
        whole = self.open_message + b"b" * size
        data = frame(0x80 if last else 0, b"b" * size)
        if len(whole) > MAX_BYTES:
            self.violate(data, CloseReason.MESSAGE_TOO_BIG)
            return
        self.open_message = None if last else whole
        if last:
            self.sent.append(whole.decode() if self.is_text else whole)
        self.send(data)

    @rule(code=st.sampled_from([1000, 1001, 1008, 3000, 4999]), reason=st.text(max_size=20))
    def end(self, code: int, reason: str) -> None:
        self.send(frame(0x88, code.to_bytes(2, "big") + reason.encode()))
        self.read_to_end()
        assert self.close is not None
        assert self.close[0] == code
        self.restart()

    @rule()
    def leave(self) -> None:
        self.restart()

    # --- what a client must not do --------------------------------------------------------------

    @rule(data=st.sampled_from(PROTOCOL_ERRORS))
    def break_a_rule(self, data: bytes) -> None:
        self.violate(data, CloseReason.PROTOCOL_ERROR)

    @rule(size=st.sampled_from([MAX_BYTES + 1, 10_000, 70_000]), sends_all=st.booleans())
    def send_a_large_message(self, size: int, sends_all: bool) -> None:
        if self.open_message is None:
            data = frame(0x82, b"x" * (size if sends_all else MAX_BYTES + 1), length=size)
            self.violate(data, CloseReason.MESSAGE_TOO_BIG)

    @rule()
    def send_wrong_text(self) -> None:
        if self.open_message is None:
            self.violate(frame(0x81, b"a\xff"), CloseReason.INVALID_FRAME_PAYLOAD_DATA)

    @rule(close=st.sampled_from(BAD_CLOSES))
    def close_wrongly(self, close: tuple[bytes, CloseReason]) -> None:
        payload, code = close
        self.violate(frame(0x88, payload), code)

    @rule()
    def interrupt_a_message(self) -> None:
        if self.open_message is None:
            self.violate(frame(0x80, b"x"), CloseReason.PROTOCOL_ERROR)  # nothing to continue
        else:
            self.violate(frame(0x81, b"x"), CloseReason.PROTOCOL_ERROR)

    # --- what always holds ----------------------------------------------------------------------

    @invariant()
    def judge(self) -> None:
        """Check what holds after any frames."""
        self.server.check_logs()
        assert self.received == self.sent[: len(self.received)], "messages come back once, and in order"
        if not self.closed and self.close is None:
            assert len(self.received) == len(self.sent)
            assert self.echo.kept_bytes <= KEPT_BYTES_MAX


@contextmanager
def machine() -> Iterator[type[WebSocketMachine]]:
    echo = Echo()
    with server_thread(echo, max_message_bytes=MAX_BYTES) as server:
        yield type("Machine", (WebSocketMachine,), {"server": server, "echo": echo})


def run(examples: int, steps: int) -> None:
    with machine() as each:
        run_machine(each, examples=examples, steps=steps)


def test_any_order_of_frames_is_answered_by_the_rules() -> None:
    run(40, 20)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_many_orders_of_frames_are_answered_by_the_rules() -> None:
    run(400, 50)
