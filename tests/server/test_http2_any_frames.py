"""HTTP/2: any frames, valid or not, end in events or in an error of the protocol, in bounded steps."""

from collections.abc import Sequence
from contextlib import suppress

import hpack
import trio
from h2.events import Event, RequestReceived, StreamEnded
from h2.exceptions import ProtocolError
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.server.hypercorn_internals.http2_heads import HTTP2Connection
from tests.support.http2_frames import GET, PREFACE

MAX_HEAD_BYTES = 4_096
MAX_STREAMS = 3
FRAMES_EACH_CALL = 16

STREAM_IDS = st.sampled_from([1, 3, 5, 7, 9, 2, 0])
BLOCKS = st.sampled_from(
    [
        hpack.Encoder().encode(GET),
        hpack.Encoder().encode(GET[:2]),
        hpack.Encoder().encode([*GET, (b"content-length", b"3")]),
        hpack.Encoder().encode([*GET, (b"x", b"y" * 5_000)]),
        b"\x82" * 900,
        b"\xff\xff\xff\xff\xff",
        b"",
    ]
)
FLAGS = st.sets(st.sampled_from(["END_STREAM", "END_HEADERS"])).map(sorted)
FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(lambda i, block, flags: HeadersFrame(i or 1, block, flags=flags), STREAM_IDS, BLOCKS, FLAGS),
    st.builds(lambda i, block: HeadersFrame(i or 1, block, flags=["END_HEADERS"]), STREAM_IDS, BLOCKS),
    st.builds(lambda i, block: ContinuationFrame(i or 1, block, flags=["END_HEADERS"]), STREAM_IDS, BLOCKS),
    st.builds(
        lambda i, size, end: DataFrame(i or 1, b"x" * size, flags=["END_STREAM"] if end else []),
        STREAM_IDS,
        st.sampled_from([0, 1, 3, 16_000]),
        st.booleans(),
    ),
    st.builds(lambda i, code: RstStreamFrame(i or 1, code), STREAM_IDS, st.integers(0, 20)),
    st.builds(lambda i, on: PriorityFrame(i or 1, depends_on=on), STREAM_IDS, STREAM_IDS),
    st.builds(WindowUpdateFrame, STREAM_IDS, st.sampled_from([1, 65_535, 2**31 - 1])),
    st.builds(
        lambda code, value: SettingsFrame(0, {code: value}), st.integers(1, 70), st.integers(0, 2**32 - 1)
    ),
    st.builds(lambda: SettingsFrame(0, flags=["ACK"])),
    st.builds(lambda: PingFrame(0, b"12345678")),
    st.builds(lambda i: ExtensionFrame(0xEE, i, body=b"x"), STREAM_IDS),
    st.builds(lambda: GoAwayFrame(0, last_stream_id=0)),
)
CHANGES = st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 255)), max_size=1)


async def receive(parts: Sequence[bytes]) -> tuple[list[Event], str]:
    """Feed parts to a new connection; return its events, and how it ended."""
    connection = HTTP2Connection(MAX_HEAD_BYTES, MAX_STREAMS)
    connection.initiate_connection()
    events: list[Event] = []
    for part in parts:
        data = part
        while True:
            try:
                found = connection.receive_data(data)
            except ProtocolError as error:
                assert connection.data_to_send(), "a GOAWAY"
                return events, type(error).__name__
            assert sum(isinstance(event, RequestReceived) for event in found) <= 1
            assert len(found) <= 3 * FRAMES_EACH_CALL
            events += found
            for event in found:
                if isinstance(event, RequestReceived) and event.stream_id in connection.refused:
                    del connection.refused[event.stream_id]
                    with suppress(ProtocolError):  # reset by the client in the same step
                        connection.reset_stream(event.stream_id)  # as the protocol does
            check_bounds(connection)
            if not connection.has_paused:
                break
            data = b""
    return events, "open"


def check_bounds(connection: HTTP2Connection) -> None:
    open_streams = [stream for stream in connection.streams.values() if not stream.closed]
    assert len(open_streams) <= MAX_STREAMS
    assert connection.inbound_flow_control_window >= 0
    assert connection.encoder.header_table_size <= 4_096
    assert len(connection.remote_settings) <= 16


@settings(max_examples=150, deadline=None)
@given(frames=st.lists(FRAMES, max_size=40), changes=CHANGES, size=st.integers(1, 3_000))
def test_any_frames_mean_the_same_however_they_are_split(
    frames: list[Frame], changes: list[tuple[int, int]], size: int
) -> None:
    data = bytearray(b"".join(frame.serialize() for frame in [SettingsFrame(0), *frames]))
    for place, value in changes:
        data[place % len(data)] = value
    sent = PREFACE + bytes(data)

    async def run() -> None:
        whole = await receive([sent])
        split = await receive([sent[start : start + size] for start in range(0, len(sent), size)])
        assert [type(event) for event in split[0][: len(whole[0])]] == [type(event) for event in whole[0]]
        assert split[1] == whole[1]

    trio.run(run)


def test_a_request_waits_for_the_one_before_it() -> None:
    """Others have their turn between two requests that arrive together."""

    async def run() -> None:
        encoder = hpack.Encoder()
        connection = HTTP2Connection(MAX_HEAD_BYTES, MAX_STREAMS)
        connection.initiate_connection()
        flags = ["END_HEADERS", "END_STREAM"]
        heads = [HeadersFrame(stream_id, encoder.encode(GET), flags=flags) for stream_id in (1, 3)]
        data = PREFACE + b"".join(frame.serialize() for frame in [SettingsFrame(0), *heads])
        for stream_id in (1, 3):
            events = connection.receive_data(data)
            [request, end] = [event for event in events if isinstance(event, RequestReceived | StreamEnded)]
            assert isinstance(request, RequestReceived)
            assert (request.stream_id, end.stream_id) == (stream_id, stream_id)
            data = b""
        assert connection.receive_data(b"") == []
        assert not connection.has_paused

    trio.run(run)
