"""NDJSON requests whose body stays open: lines and answers alternate over one request."""

import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import h11
import pytest
import trio
import trio.testing

from streamd import create_app
from streamd.errors import OutcomeUnknown, Unavailable
from streamd.http.ndjson import read_lines
from streamd.log.memory import MemoryLog
from streamd.log.settings import LogSettings
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import RunningServer, run_server
from tests.support.http2_client import ManualHTTP2Client

SECONDS = 30
HEADERS = [("Host", "x"), ("Content-Type", "application/x-ndjson"), ("Transfer-Encoding", "chunked")]
RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close() sends RST


class OpenRequest:
    """One POST over a bare socket; each :meth:`send` is one chunk of its body."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._http = h11.Connection(h11.CLIENT)
        self._received = b""

    async def begin(self) -> None:
        await self._send(h11.Request(method="POST", target="/events", headers=HEADERS))

    async def send(self, part: str | bytes) -> None:
        await self._send(h11.Data(data=part.encode() if isinstance(part, str) else part))

    async def end(self) -> None:
        await self._send(h11.EndOfMessage())

    async def answer(self) -> dict[str, Any]:
        """Return the next line of the response."""
        while b"\n" not in self._received:
            event = await self._next()
            if isinstance(event, h11.Response):
                assert event.status_code == 200
                continue
            assert isinstance(event, h11.Data), event
            self._received += bytes(event.data)
        line, _, self._received = self._received.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def check_is_over(self) -> None:
        """Check that the response ends normally, without another line."""
        assert self._received == b""
        assert isinstance(await self._next(), h11.EndOfMessage)

    async def request_again(self, target: str) -> bytes:
        """Send another request over the same connection and return the body of its response."""
        self._http.start_next_cycle()
        await self._send(h11.Request(method="GET", target=target, headers=[("Host", "x")]))
        await self._send(h11.EndOfMessage())
        body = b""
        while not isinstance(event := await self._next(), h11.EndOfMessage):
            body += bytes(event.data) if isinstance(event, h11.Data) else b""
        return body

    async def _send(self, event: h11.Request | h11.Data | h11.EndOfMessage) -> None:
        await self.stream.send_all(self._http.send(event) or b"")

    async def _next(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self.stream.receive_some())
        return event


@asynccontextmanager
async def open_request(server: RunningServer) -> AsyncIterator[OpenRequest]:
    with trio.fail_after(SECONDS):
        async with await trio.open_tcp_stream(server.host, server.port) as stream:
            request = OpenRequest(stream)
            await request.begin()
            yield request


def line(data: object, topic: str = "a") -> str:
    return json.dumps({"topic": topic, "data": data}, ensure_ascii=False) + "\n"


async def published(server: RunningServer) -> list[tuple[str, Any]]:
    """Return id and data of every event in the log, as a client receives them."""
    async with await trio.open_tcp_stream(server.host, server.port) as stream:
        request = "GET /events/poll?pattern=**&after=earliest&wait=0 HTTP/1.1\r\nHost: x\r\nConnection: close"
        await stream.send_all(f"{request}\r\n\r\n".encode())
        answer = b"".join([bytes(part) async for part in stream])
    events = json.loads(answer.partition(b"\r\n\r\n")[2])["events"]
    return [(event["id"], event["data"]) for event in events]


async def test_each_line_is_answered_before_the_next_is_sent(streamd_server: RunningServer) -> None:
    ids = []
    async with open_request(streamd_server) as request:
        for number in range(50):
            await request.send(line(number))
            answer = await request.answer()
            assert answer == {"line": number + 1, "id": streamd_server.streamd.runtime.broker.log.head}
            ids.append(answer["id"])
        await request.end()
        await request.check_is_over()
        # The connection serves another request.
        assert json.loads(await request.request_again("/health/live")) == {"status": "alive"}
    assert await published(streamd_server) == list(zip(ids, range(50), strict=True))


async def test_many_lines_that_arrive_at_once_are_read_in_groups() -> None:
    """The loop is free between two groups, whatever the lines are."""

    async def body() -> AsyncIterator[bytes]:
        yield b"x\n" * 1000
        yield b"y\n"

    groups = [len(group) async for group in read_lines(body(), 100)]
    assert groups == [256, 256, 256, 232, 1]


async def test_lines_of_one_chunk_are_answered_in_order(streamd_server: RunningServer) -> None:
    async with open_request(streamd_server) as request:
        await request.send(line(1) + "\n" + line(2) + "nonsense\n" + line(3))
        answers = [await request.answer() for _ in range(4)]
        assert [(answer["line"], "id" in answer) for answer in answers] == [
            (1, True),
            (3, True),
            (4, False),
            (5, True),
        ]
        await request.send(line(4))
        assert (await request.answer())["line"] == 6


@pytest.mark.parametrize(
    ("wrong", "code", "field"),
    [
        ("nonsense", "invalid-body", None),
        ('{"topic": "a", "data": ', "invalid-body", None),
        ('{"topic": "a"} {"topic": "a"}', "invalid-body", None),
        ('["topic"]', "invalid-body", None),
        ('{"data": 1}', "invalid-field", "topic"),
        ('{"topic": "a", "type": "heartbeat"}', "invalid-field", "type"),
    ],
)
async def test_an_invalid_line_is_rejected_and_the_next_accepted(
    streamd_server: RunningServer, wrong: str, code: str, field: str | None
) -> None:
    async with open_request(streamd_server) as request:
        await request.send(line("before"))
        before = await request.answer()
        await request.send(wrong + "\n")
        rejected = await request.answer()
        assert rejected["line"] == 2
        assert (rejected["error"]["code"], rejected["error"].get("field")) == (code, field)
        assert streamd_server.streamd.runtime.broker.log.head == before["id"]
        await request.send(line("after"))
        after = await request.answer()
        assert (before["line"], after["line"]) == (1, 3)
        assert await published(streamd_server) == [(before["id"], "before"), (after["id"], "after")]


TEXT = line("ünï€ödé 😀").encode()


@pytest.mark.parametrize(
    "cut", [1, TEXT.index("€".encode()) + 1, TEXT.index("😀".encode()) + 2, len(TEXT) - 1]
)
async def test_a_line_may_be_split_anywhere(streamd_server: RunningServer, cut: int) -> None:
    async with open_request(streamd_server) as request:
        # The answer to the whole line shows that the half line of the same chunk has arrived.
        await request.send(line("whole").encode() + TEXT[:cut])
        whole = await request.answer()
        assert streamd_server.streamd.runtime.broker.log.head == whole["id"]
        await request.send(TEXT[cut:])
        pieced = await request.answer()
        assert (whole["line"], pieced["line"]) == (1, 2)
        assert await published(streamd_server) == [(whole["id"], "whole"), (pieced["id"], "ünï€ödé 😀")]


async def test_a_line_may_arrive_byte_by_byte_and_the_last_without_line_end(
    streamd_server: RunningServer,
) -> None:
    async with open_request(streamd_server) as request:
        for byte in TEXT:
            await request.send(bytes([byte]))
        first = await request.answer()
        await request.send(line("last").rstrip("\n"))
        await request.end()
        last = await request.answer()
        await request.check_is_over()
        assert (first["line"], last["line"]) == (1, 2)
        assert await published(streamd_server) == [(first["id"], "ünï€ödé 😀"), (last["id"], "last")]


@pytest.mark.parametrize("how", ["closes", "half-closes", "resets"])
@pytest.mark.parametrize("unfinished", ["", '{"topic": "a", "da', line("not ended").rstrip("\n")])
async def test_a_disconnect_publishes_the_answered_lines_and_nothing_else(how: str, unfinished: str) -> None:
    # The graceful shutdown waits for the client's connection for longer than this test may take.
    settings = Settings(server=ServerSettings(grace_seconds=10 * SECONDS))
    with trio.fail_after(SECONDS):
        async with run_server(settings) as server:
            async with open_request(server) as request:
                await request.send(line(1))
                answered = await request.answer()
                await request.send(line(2) + unfinished)
                last = await request.answer()
                if how == "resets":
                    request.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                elif how == "half-closes":
                    await request.stream.send_eof()
                    with pytest.raises((h11.RemoteProtocolError, trio.BrokenResourceError)):
                        await request.answer()
            assert await published(server) == [(answered["id"], 1), (last["id"], 2)]
            server.stop()
        assert server.streamd.runtime.broker.log.head == last["id"]


class FullLog(MemoryLog):
    """A log that takes nothing, not even an empty list, as one on a full disk does not."""

    async def append(self, *arguments: Any, **options: Any) -> Any:
        await trio.lowlevel.checkpoint()
        raise Unavailable("the store failed; the request may succeed later", retry_after_seconds=1)


async def test_each_line_is_answered_while_the_log_takes_nothing() -> None:
    app = create_app(log=FullLog(LogSettings()))
    async with run_server(app=app) as server, open_request(server) as request:
        await request.send(line(1) + "nonsense\n" + line(2))
        await request.end()
        answers = [await request.answer() for _ in range(3)]
        await request.check_is_over()
    assert [(answer["line"], answer["error"]["status"]) for answer in answers] == [
        (1, 503),
        (2, 400),
        (3, 503),
    ]


class LostReplyLog(MemoryLog):
    """A log of whose appends nobody knows the outcome."""

    async def append(self, *arguments: Any, **options: Any) -> Any:
        await trio.lowlevel.checkpoint()
        raise OutcomeUnknown("the connection was lost meanwhile")


async def test_no_line_is_published_after_one_of_unknown_outcome() -> None:
    app = create_app(log=LostReplyLog(LogSettings()))
    async with run_server(app=app) as server, open_request(server) as request:
        await request.send(line(1) + "nonsense\n")
        answers = [await request.answer() for _ in range(2)]
        await request.send(line(2))
        answers.append(await request.answer())
        await request.end()
        await request.check_is_over()
    assert [(answer["line"], answer["error"]["status"]) for answer in answers] == [
        (1, 504),
        (2, 400),
        (3, 503),
    ]


async def test_two_requests_do_not_wait_for_each_other(streamd_server: RunningServer) -> None:
    async with open_request(streamd_server) as first, open_request(streamd_server) as second:
        await first.send(line("half")[:8])
        for number in range(1, 6):
            await second.send(line(number))
            assert (await second.answer())["line"] == number
        await first.send(line("half")[8:])
        assert (await first.answer())["line"] == 1


async def test_each_line_is_answered_over_http2_too(streamd_server: RunningServer) -> None:
    with trio.fail_after(SECONDS):
        async with await trio.open_tcp_stream(streamd_server.host, streamd_server.port) as stream:
            client = ManualHTTP2Client(stream)
            request = await client.post("/events", {"content-type": "application/x-ndjson"})
            client.replenished.add(request)
            for number in range(1, 11):
                await client.send_body(request, line(number).encode())
                while client.received.get(request, b"").count(b"\n") < number:
                    await client.read()
            answers = [json.loads(text) for text in client.received[request].splitlines()]
    assert [answer["line"] for answer in answers] == list(range(1, 11))
    assert await published(streamd_server) == [
        (answer["id"], number) for number, answer in enumerate(answers, start=1)
    ]


class HeldLog(MemoryLog):
    """A log that appends nothing before it may."""

    def __init__(self) -> None:
        super().__init__(LogSettings())
        self.may_append = trio.Event()

    async def append(self, *arguments: Any, **options: Any) -> Any:
        await self.may_append.wait()
        return await super().append(*arguments, **options)


async def test_over_http2_a_publisher_far_ahead_waits_and_no_line_is_lost() -> None:
    """It sends more than 8 MB, and reads answers only while its window is closed."""
    count, log = 700, HeldLog()
    refused = json.dumps({"topic": "a", "wrong": "x" * 15_000}) + "\n"

    async def send_lines(client: ManualHTTP2Client, request: int) -> None:
        for number in range(count):
            await client.send_body(request, (line("x" * 15_000) if number % 2 else refused).encode())

    with trio.fail_after(4 * SECONDS):
        async with (
            run_server(app=create_app(log=log)) as server,
            await trio.open_tcp_stream(server.host, server.port) as stream,
        ):
            client = ManualHTTP2Client(stream)
            request = await client.post("/events", {"content-type": "application/x-ndjson"})
            client.replenished.add(request)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_lines, client, request)
                await trio.testing.wait_all_tasks_blocked()
                assert client.http.local_flow_control_window(request) < 20_000
                log.may_append.set()
            while client.received.get(request, b"").count(b"\n") < count:
                await client.read()
            answers = [json.loads(text) for text in client.received[request].splitlines()]
    assert [answer["line"] for answer in answers] == list(range(1, count + 1))
    assert ["id" in answer for answer in answers] == [number % 2 == 1 for number in range(count)]
