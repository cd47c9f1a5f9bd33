"""HTTP/2: a client waits while the application of a stream is behind, and the other streams go on."""

import random
from typing import Any

import pytest
import trio
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, WindowUpdateFrame

from tests.support.http2_app import answer, connect_head, connected_to, head
from tests.support.http2_frames import FrameClient
from tests.support.waiting import until

WINDOW_BYTES = 65_535
FRAME_BYTES = 16_000


class Application:
    """Receives from ``/slow`` only what a test lets it, and answers everything else.

    Attributes:
        received: the bodies, or the messages of a WebSocket, by path.
        left: paths whose client has left.
    """

    def __init__(self) -> None:
        self.received: dict[str, list[Any]] = {}
        self.left: set[str] = set()
        self.may_receive = trio.Semaphore(0)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
        elif not path.startswith("/slow"):
            await answer(send, b"answered")
            return
        received = self.received.setdefault(path, [])
        more = True
        while more:
            await self.may_receive.acquire()
            message = await receive()
            if message["type"].endswith("disconnect"):
                self.left.add(path)
                return
            received.append(message.get("body") or message.get("bytes"))
            more = message.get("more_body", True)
        await answer(send, b"%d" % sum(map(len, received)))


async def send_body(client: FrameClient, stream_id: int, body: bytes, *, end: bool = True) -> int:
    """Send as much of a body as the window of its stream allows; return the number of bytes."""
    sent = 0
    while sent < len(body):
        await client.ping()  # reads what the server has answered to the last frame
        room = WINDOW_BYTES + client.credit.get(stream_id, 0) - sent
        part = body[sent : sent + min(room, FRAME_BYTES)]
        if not part:
            return sent
        is_last = end and sent + len(part) == len(body)
        await client.send(DataFrame(stream_id, part, flags=["END_STREAM"] if is_last else []))
        sent += len(part)
    return sent


async def check_serves(client: FrameClient, stream_id: int) -> None:
    await client.ask(stream_id, head(b"/other"))
    await client.read_until_over(stream_id)
    assert client.bodies[stream_id] == b"answered"


async def test_a_stream_gets_credit_only_as_its_body_is_received() -> None:
    app = Application()
    async with connected_to(app) as client:
        body = random.Random(1).randbytes(300_000)
        await client.ask(1, head(b"/slow", b"POST"), end=False)
        assert await send_body(client, 1, body) == WINDOW_BYTES
        await client.ping()
        assert 1 not in client.credit
        app.may_receive.release()
        while 1 not in client.credit:
            await client.read()
        assert client.credit[1] == WINDOW_BYTES
        assert app.received["/slow"] == [body[:WINDOW_BYTES]], "the frames of a body are joined"
        for _ in range(1_000):
            app.may_receive.release()
        sent = WINDOW_BYTES
        while sent < len(body):
            room = WINDOW_BYTES + client.credit[1] - sent
            part = body[sent : sent + min(room, FRAME_BYTES)]
            if part:
                sent += len(part)
                flags = ["END_STREAM"] if sent == len(body) else []
                await client.send(DataFrame(1, part, flags=flags))
            else:
                await client.read()
        await client.read_until_over(1)
        assert client.bodies[1] == b"300000"
        assert b"".join(app.received["/slow"]) == body


async def test_slow_streams_do_not_use_up_the_window_of_the_connection() -> None:
    app = Application()
    async with connected_to(app) as client:
        for stream_id in range(1, 11, 2):
            await client.ask(stream_id, head(b"/slow%d" % stream_id, b"POST"), end=False)
            assert await send_body(client, stream_id, b"x" * 100_000) == WINDOW_BYTES
        await check_serves(client, 11)
        await client.ask(13, head(b"/other", b"POST"), end=False)
        assert await send_body(client, 13, b"x" * 200_000) == 200_000
        await client.read_until_over(13)


async def test_a_body_beyond_its_window_resets_its_stream_alone() -> None:
    app = Application()
    async with connected_to(app) as client:
        await client.ask(1, head(b"/slow", b"POST"), end=False)
        assert await send_body(client, 1, b"x" * 100_000) == WINDOW_BYTES
        await client.send(DataFrame(1, b"x"))
        await client.read_until_over(1)
        assert client.resets[1] == ErrorCodes.FLOW_CONTROL_ERROR
        for _ in range(3):
            app.may_receive.release()
        await check_serves(client, 3)
        while app.left != {"/slow"}:
            await trio.lowlevel.checkpoint()
        assert sum(map(len, app.received["/slow"])) == WINDOW_BYTES


async def test_a_body_behind_its_answer_is_discarded_and_counts_for_no_window() -> None:
    async with connected_to(Application()) as client:
        for stream_id in range(1, 13, 2):
            await client.ask(stream_id, head(b"/other", b"POST"), end=False)
            await client.read_until_over(stream_id)
            assert await send_body(client, stream_id, b"x" * 100_000) == 100_000
        await check_serves(client, 13)


async def test_frames_of_one_byte_are_one_part_of_the_body() -> None:
    app = Application()
    async with connected_to(app) as client:
        await client.ask(1, head(b"/slow", b"POST"), end=False)
        for _ in range(5):
            await client.send(*[DataFrame(1, b"x")] * 1_000)
        await client.send(DataFrame(1, b"", flags=["END_STREAM"]))
        await client.ping()
        app.may_receive.release()
        await client.read_until_over(1)
        assert app.received["/slow"] == [b"x" * 5_000]


async def test_padding_is_no_part_of_the_body_and_its_credit_returns() -> None:
    app = Application()
    async with connected_to(app) as client:
        await client.ask(1, head(b"/slow", b"POST"), end=False)
        for _ in range(2_000):  # 512 kB with their padding
            await client.send(DataFrame(1, b"x", pad_length=255, flags=["PADDED"]))
            await client.ping()
        app.may_receive.release()
        await until(lambda: app.received["/slow"] == [b"x" * 2_000])


def message(content: bytes) -> bytes:
    """Encode a masked binary message of a WebSocket."""
    size = len(content)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return b"\x82" + length + b"\0\0\0\0" + content


@pytest.mark.parametrize("size", [0, 10, 20_000])
async def test_messages_wait_for_their_application_and_none_is_lost(size: int) -> None:
    app = Application()
    sent = [b"%d" % number + b"x" * size for number in range(2 * WINDOW_BYTES // (size + 10))]
    data = b"".join(message(content) for content in sent)
    async with connected_to(app) as client:
        await client.ask(1, connect_head(b"/ws"), end=False)
        while 1 not in client.heads:
            await client.read()
        first = await send_body(client, 1, data, end=False)
        assert WINDOW_BYTES <= first < 2 * WINDOW_BYTES
        await check_serves(client, 3)
        assert app.received["/ws"] == []
        for _ in range(len(sent)):
            app.may_receive.release()
        while first < len(data):
            room = WINDOW_BYTES + client.credit.get(1, 0) - first
            part = data[first : first + min(room, FRAME_BYTES)]
            if part:
                await client.send(DataFrame(1, part))
                first += len(part)
            else:
                await client.read()
        await until(lambda: len(app.received["/ws"]) == len(sent))
        assert app.received["/ws"] == sent


async def test_a_full_application_is_told_that_its_websocket_was_reset() -> None:
    app = Application()
    async with connected_to(app) as client:
        await client.ask(1, connect_head(b"/ws"), end=False)
        while 1 not in client.heads:
            await client.read()
        await client.send(DataFrame(1, message(b"x" * 100) * 100))
        await client.reset(1)
        await check_serves(client, 3)
        for _ in range(1_000):
            app.may_receive.release()
        await until(lambda: "/ws" in app.left)


async def test_pings_of_a_client_that_reads_nothing_are_not_kept() -> None:
    async with connected_to(Application()) as client:
        await client.ask(1, connect_head(b"/ws"), end=False)
        while 1 not in client.heads:
            await client.read()
        await client.send(WindowUpdateFrame(0, 10_000_000))
        ping = b"\x89\xfd" + b"\0\0\0\0" + b"x" * 125
        for _ in range(30):  # 400 kB, while the window of the stream lets 65 kB of pongs pass
            await client.send(DataFrame(1, ping * 100))
            await client.ping()
        await check_serves(client, 3)
        assert len(client.bodies[1]) <= WINDOW_BYTES
        before = len(client.bodies[1])
        await client.send(WindowUpdateFrame(1, 10_000_000))
        await client.ping()
        await client.ping()
        assert len(client.bodies[1]) - before <= 2 * WINDOW_BYTES, "no more than the buffer holds"
