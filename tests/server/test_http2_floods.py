"""HTTP/2: floods of frames end their connection; busy clients are served, and nobody else waits."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
import trio
from h2.errors import ErrorCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from streamd.server.http2_budgets import CONTROL, EMPTY, RESETS
from streamd.server.settings import ServerSettings
from tests.support.http2_app import answer, connect_head, connected_to, head
from tests.support.http2_frames import GET, FrameClient

STREAMS = 100
MORE_THAN_IN_TIME = 2  # times a budget's burst: what it earns while a test runs comes on top
Flood = Callable[[FrameClient], Iterator[list[Frame]]]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer the method and the size of the body; never answer ``/waits``."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
    if scope["type"] == "websocket" or scope["path"] == "/waits":
        while not (await receive())["type"].endswith("disconnect"):
            pass
        return
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    if scope["path"] == "/large":
        await answer(send, b"x" * 1_000_000)
    else:
        await answer(send, b"%d" % size)


def resets(client: FrameClient) -> Iterator[list[Frame]]:
    for stream_id in count(1, 2):
        yield [*client.head(stream_id, head(b"/waits")), RstStreamFrame(stream_id, 8)]


def resets_by_errors(client: FrameClient) -> Iterator[list[Frame]]:
    """Make the server reset each stream (CVE-2025-8671)."""
    for stream_id in count(1, 2):
        yield [*client.head(stream_id, head(b"/waits")), WindowUpdateFrame(stream_id, 2**31 - 1)]


def refused(client: FrameClient) -> Iterator[list[Frame]]:
    for stream_id in count(1, 2):
        yield client.head(stream_id, GET[:2])


def streams_above_the_maximum(client: FrameClient) -> Iterator[list[Frame]]:
    for stream_id in count(1, 2):
        yield client.head(stream_id, head(b"/waits"))


def heads_on_closed_streams(client: FrameClient) -> Iterator[list[Frame]]:
    yield [*client.head(1, head(b"/waits")), RstStreamFrame(1, 8)]
    while True:
        yield client.head(1, head(b"/waits"))


def large_heads(client: FrameClient) -> Iterator[list[Frame]]:
    for stream_id in count(1, 2):
        fields = [(b"x%d-%d" % (stream_id, number), b"x" * 1_000) for number in range(50)]
        yield client.head(stream_id, [*GET, *fields])


def pings(client: FrameClient) -> Iterator[list[Frame]]:
    while True:
        yield [PingFrame(0, b"12345678")]


def settings(client: FrameClient) -> Iterator[list[Frame]]:
    while True:
        yield [SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 65_535})]


def window_updates(client: FrameClient) -> Iterator[list[Frame]]:
    while True:
        yield [WindowUpdateFrame(0, 1)]


def windows_of_one_byte(client: FrameClient) -> Iterator[list[Frame]]:
    yield [SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 0})]
    yield client.head(1, head(b"/large"))
    while True:
        yield [WindowUpdateFrame(1, 1)]


def priorities(client: FrameClient) -> Iterator[list[Frame]]:
    """Build a chain of dependencies, each of a stream that never begins."""
    for stream_id in count(1, 2):
        yield [PriorityFrame(stream_id + 2, depends_on=stream_id, stream_weight=5)]


def unknown_frames(client: FrameClient) -> Iterator[list[Frame]]:
    while True:
        yield [ExtensionFrame(0xEE, 0)]


def frames_of_closed_streams(client: FrameClient) -> Iterator[list[Frame]]:
    yield [*client.head(1, head(b"/waits"), end=False), RstStreamFrame(1, 8)]
    while True:
        yield [DataFrame(1, b"x")]


def empty_data(client: FrameClient) -> Iterator[list[Frame]]:
    yield client.head(1, head(b"/waits", b"POST"), end=False)
    while True:
        yield [DataFrame(1, b"")]


def empty_continuations(client: FrameClient) -> Iterator[list[Frame]]:
    for stream_id in count(1, 2):
        block = client.encoder.encode(GET)
        last = ContinuationFrame(stream_id, block, flags=["END_HEADERS"])
        yield [
            HeadersFrame(stream_id, b"", flags=["END_STREAM"]),
            *[ContinuationFrame(stream_id, b"")] * 9,
            last,
        ]


FLOODS: dict[Flood, int] = {
    resets: RESETS.burst,
    resets_by_errors: RESETS.burst,
    refused: RESETS.burst,
    streams_above_the_maximum: RESETS.burst,
    heads_on_closed_streams: RESETS.burst,
    large_heads: RESETS.burst // 40,
    pings: CONTROL.burst,
    settings: CONTROL.burst,
    window_updates: CONTROL.burst,
    windows_of_one_byte: CONTROL.burst,
    priorities: CONTROL.burst,
    unknown_frames: CONTROL.burst,
    frames_of_closed_streams: CONTROL.burst,
    empty_data: EMPTY.burst,
    empty_continuations: EMPTY.burst // 10,
}


@pytest.mark.parametrize(("flood", "burst"), FLOODS.items(), ids=[flood.__name__ for flood in FLOODS])
async def test_a_flood_ends_its_connection_alone(flood: Flood, burst: int) -> None:
    settings = ServerSettings(bind=["127.0.0.1:0"], http2_max_concurrent_streams=STREAMS)
    async with connected_to(app, settings) as client:
        await client.ping()  # the settings were acknowledged: only one trio task sends from now on
        frames = flood(client)
        sent = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.read_until_closed)
            with suppress(trio.BrokenResourceError):
                while not client.closed and sent < 10 * burst:
                    await client.send(*next(frames))
                    sent += 1
        assert [error for _, error in client.goaways] == [ErrorCodes.ENHANCE_YOUR_CALM]
        assert sent > burst // 2


async def ask_all(client: FrameClient, stream_ids: range) -> None:
    await client.send(
        *[frame for stream_id in stream_ids for frame in client.head(stream_id, head(b"/waits"))]
    )


async def test_a_page_that_is_reloaded_five_times_cancels_all_of_its_requests() -> None:
    async with connected_to(app) as client:
        for first in range(1, 1_001, 2 * STREAMS):
            stream_ids = range(first, first + 2 * STREAMS, 2)
            await ask_all(client, stream_ids)
            await client.ping()
            await client.send(*[RstStreamFrame(stream_id, 8) for stream_id in stream_ids])
        await client.ask(1_001, head(b"/"))
        await client.read_until_over(1_001)
        assert client.bodies[1_001] == b"0"
        assert client.goaways == []


async def test_a_busy_client_sends_any_number_of_requests_and_their_frames() -> None:
    """Each request with a priority, its own window, an empty frame, and the window updates of its answer."""
    async with connected_to(app) as client:
        for stream_id in range(1, 1_201, 2):
            priority = PriorityFrame(stream_id, depends_on=0, stream_weight=5)
            frames = client.head(stream_id, head(b"/", b"POST"), end=False)
            await client.send(
                *frames, priority, WindowUpdateFrame(stream_id, 65_535), DataFrame(stream_id, b"xyz")
            )
            await client.send(DataFrame(stream_id, b"", flags=["END_STREAM"]))
            await client.read_until_over(stream_id)
            await client.send(WindowUpdateFrame(0, 1), WindowUpdateFrame(0, 1), PingFrame(0, b"12345678"))
            assert client.bodies[stream_id] == b"3"
        assert client.goaways == []


async def test_a_large_answer_in_small_windows_is_sent_to_its_end() -> None:
    async with connected_to(app) as client:
        await client.send(SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 2_000}))
        await client.ask(1, head(b"/large"))
        received = 0
        while 1 not in client.ended:
            await client.read()
            size = len(client.bodies.get(1, b"")) - received
            if size:
                received += size
                await client.send(WindowUpdateFrame(1, size), WindowUpdateFrame(0, size))
        assert len(client.bodies[1]) == 1_000_000
        assert client.goaways == []


@pytest.mark.parametrize(
    "content", [b"\x89\x80\0\0\0\0", b"\x00\x80\0\0\0\0"], ids=["pings", "empty fragments"]
)
async def test_a_flood_on_a_websocket_closes_it_alone(content: bytes) -> None:
    async with connected_to(app) as client:
        await client.ask(1, connect_head(), end=False)
        while 1 not in client.heads:
            await client.read()
        if content[0] == 0:
            await client.send(DataFrame(1, b"\x02\x81\0\0\0\0x"))
        for _ in range(MORE_THAN_IN_TIME * CONTROL.burst // 1_000 + 2):
            await client.send(DataFrame(1, content * 1_000))
            await client.ping()
        await client.read_until_over(1)
        assert b"\x03\xf0" in client.bodies[1], "1008"
        await client.ask(3, head(b"/"))
        await client.read_until_over(3)
        assert client.bodies[3] == b"0"
