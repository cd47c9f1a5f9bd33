"""HTTP/2: DATA frames that are made without the ``h2`` library are those that it makes, or none at all."""

import hpack
import trio
from h2.exceptions import ProtocolError
from hyperframe.frame import (
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.server.hypercorn_internals.http2_heads import HTTP2Connection
from tests.support.http2_frames import GET, PREFACE

OPEN, ENDED, RESET, UNKNOWN = 1, 3, 5, 99

FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(WindowUpdateFrame, st.sampled_from([0, OPEN, ENDED]), st.integers(1, 30_000)),
    st.builds(
        lambda size: SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: size}), st.integers(0, 70_000)
    ),
    st.builds(
        lambda size: SettingsFrame(0, {SettingsFrame.MAX_FRAME_SIZE: size}), st.integers(16_384, 20_000)
    ),
    st.builds(lambda: GoAwayFrame(0)),
    st.builds(RstStreamFrame, st.sampled_from([OPEN, ENDED])),
)
SIZES = st.one_of(st.integers(1, 300), st.integers(1, 50_000))
WRITES = st.tuples(st.sampled_from([OPEN, ENDED, RESET, UNKNOWN]), SIZES)


def connect() -> HTTP2Connection:
    """Return a connection with streams in several states, whose answers have begun."""
    connection, encoder = HTTP2Connection(65_536, 100), hpack.Encoder()
    connection.initiate_connection()
    connection.receive_data(PREFACE + SettingsFrame(0).serialize())
    for stream_id in (OPEN, ENDED, RESET):
        flags = ["END_HEADERS"] if stream_id == OPEN else ["END_HEADERS", "END_STREAM"]
        connection.receive_data(HeadersFrame(stream_id, encoder.encode(GET), flags=flags).serialize())
        connection.send_headers(stream_id, [(b":status", b"200")])
    connection.reset_stream(RESET)
    connection.data_to_send()
    return connection


def send_by_library(connection: HTTP2Connection, stream_id: int, data: bytes) -> bool:
    frame_bytes = connection.max_outbound_frame_size
    try:
        if len(data) > connection.local_flow_control_window(stream_id):
            return False
        for start in range(0, len(data), frame_bytes):
            connection.send_data(stream_id, data[start : start + frame_bytes])
    except ProtocolError:
        return False
    return True


@settings(deadline=None)
@given(st.lists(st.one_of(FRAMES, WRITES), max_size=12))
def test_frames_and_windows_are_those_of_the_library(steps: list[Frame | tuple[int, int]]) -> None:
    async def run() -> None:
        ours, theirs = connect(), connect()
        for step in steps:
            if isinstance(step, Frame):
                failed = [receive(connection, step.serialize()) for connection in (ours, theirs)]
                assert failed[0] == failed[1]
            else:
                stream_id, size = step
                data = b"x" * size
                assert ours.try_send_data(stream_id, data) == send_by_library(theirs, stream_id, data)
            assert ours.data_to_send() == theirs.data_to_send()
            assert ours.outbound_flow_control_window == theirs.outbound_flow_control_window

    trio.run(run)


def receive(connection: HTTP2Connection, data: bytes) -> bool:
    try:
        connection.receive_data(data)
    except ProtocolError:
        return True
    return False
