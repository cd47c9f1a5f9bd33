"""NDJSON is read in bounded groups, with push-back, and ends after a number of wrong lines."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from quart_trio import QuartTrio

from streamd.app import create_app, running
from streamd.auth.caller import EVERYBODY
from streamd.events.settings import PublishSettings
from streamd.extension import Streamd
from streamd.http.ndjson import LinePublisher
from streamd.http.publishing import PublishingDoor
from streamd.limits import LimitSettings
from streamd.settings import Settings
from streamd.testing import RunningServer, run_server
from streamd.time_slice import TimeSlice
from tests.support.access_rig import AccessRig, bearer
from tests.support.access_rig import serving as serving_callers
from tests.support.raw_answers import parse_answers

SECONDS = 30
HEADERS = {"Content-Type": "application/x-ndjson"}
GOOD = b'{"topic":"a"}\n'
WRONG = [
    b"x\n",
    b'{"topic":"a","type":"heartbeat"}\n',
    b'{"topic":"a","data":{"b":1,"b":2}}\n',
    b'{"topic":"sentiment/a"}\n',
    b'{"data":' + b"[" * 100 + b"]" * 100 + b"}\n",
]


def answers_of(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.text.splitlines()]


async def post(server: RunningServer, body: bytes) -> list[dict[str, Any]]:
    """Send a body, and read the answers meanwhile; the server may end before it has the whole body."""
    head = f"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    head += "Content-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"
    received = b""
    with trio.fail_after(SECONDS):
        async with (
            await trio.open_tcp_stream(server.host, server.port) as stream,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(send, stream, head.encode() + body)
            async for data in stream:
                received += data
            nursery.cancel_scope.cancel()
    [answer], _ = parse_answers(received, ["POST"])
    assert (answer.status, answer.is_complete) == (200, True)
    return [json.loads(line) for line in answer.body.splitlines()]


async def send(stream: trio.SocketStream, data: bytes) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await stream.send_all(data)


def waits(streamd: Streamd, limit: str) -> float:
    return streamd.metrics.registry.get_sample_value("streamd_limit_waits_total", {"limit": limit}) or 0.0


# --- wrong lines ----------------------------------------------------------------------------------


async def test_after_the_last_wrong_line_the_body_ends_and_says_where() -> None:
    async with run_server(Settings(publish=PublishSettings(max_errors=3))) as server:
        body = GOOD + b"x\n\n" + GOOD + b"y\n" + GOOD + b"z\n" + GOOD * 1000
        answers = await post(server, body)
        assert [(answer["line"], answer.get("error", {}).get("code")) for answer in answers] == [
            (1, None),
            (2, "invalid-body"),
            (4, None),
            (5, "invalid-body"),
            (6, None),
            (7, "invalid-body"),
            (8, "too-many-errors"),
        ]
        assert answers[-1]["error"]["detail"] == (
            "3 lines were wrong: nothing was published of the body from line 8 on"
        )
        assert server.streamd.runtime.broker.log.appended == 3


@pytest.mark.parametrize("wrong", WRONG)
async def test_half_a_megabyte_of_wrong_lines_costs_a_thousand_answers(wrong: bytes) -> None:
    async with run_server() as server:
        answers = await post(server, wrong * (500_000 // len(wrong)))
        assert [answer["line"] for answer in answers] == list(range(1, 1002))
        assert answers[-1]["error"]["code"] == "too-many-errors"
        assert server.streamd.runtime.broker.log.appended == 0


async def test_lines_of_a_used_key_are_wrong_lines() -> None:
    async with run_server(Settings(publish=PublishSettings(max_errors=2))) as server:
        lines = [b'{"topic":"a","data":%d,"idempotency_key":"k"}\n' % number for number in range(5)]
        answers = await post(server, b"".join(lines))
        codes = [answer.get("error", {}).get("code") for answer in answers]
        assert codes == [None, *["idempotency-conflict"] * 4, "too-many-errors"]


# --- turns of others ------------------------------------------------------------------------------


class OneGroup(AsyncIterator[bytes]):
    """A body of one part; no generator, so that it may be left."""

    def __init__(self, part: bytes) -> None:
        self._parts = [part]

    async def __anext__(self) -> bytes:
        if not self._parts:
            raise StopAsyncIteration
        return self._parts.pop()


@pytest.mark.parametrize("line", [*WRONG, GOOD], ids=range(len(WRONG) + 1))
async def test_other_trio_tasks_run_between_the_lines_of_a_group(line: bytes) -> None:
    """The slice is over after each line, as if that took a long time."""
    app = create_app(Settings())
    passes = 0

    async def count() -> None:
        nonlocal passes
        while True:
            passes += 1
            await trio.lowlevel.checkpoint()

    async with running(app) as streamd, trio.open_nursery() as nursery:
        nursery.start_soon(count)
        door = PublishingDoor(streamd.runtime.broker, streamd.runtime.access, EVERYBODY, "")
        publisher = LinePublisher(door, 1000, time_slice=TimeSlice(0.0))
        before = passes
        async with aclosing(publisher.answer(OneGroup(line * 200))) as answers:
            text = await anext(answers)
        assert text.count(b"\n") == 200
        assert passes - before >= 190
        nursery.cancel_scope.cancel()


# --- push-back ------------------------------------------------------------------------------------

PART = 1000 * GOOD
PARTS = 15


class SlowReader:
    """A client of plain ASGI that sends a body, and takes no answer before :attr:`reads` is set."""

    def __init__(self) -> None:
        self.reads = trio.Event()
        self.taken = 0  # parts of the body that the server has received
        self.answer = b""

    async def receive(self) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        if self.taken == PARTS:
            await trio.sleep_forever()
        self.taken += 1
        return {"type": "http.request", "body": PART, "more_body": self.taken < PARTS}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            await self.reads.wait()
            self.answer += message["body"]

    async def post(self, app: QuartTrio) -> None:
        scope = {
            "type": "http",
            "asgi": {"spec_version": "2.1", "version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/events",
            "raw_path": b"/events",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"localhost"), (b"content-type", b"application/x-ndjson")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "extensions": {},
        }
        await app(scope, self.receive, self.send)  # type: ignore[arg-type]


async def test_no_more_is_received_while_answers_wait_and_nothing_is_lost() -> None:
    app = create_app(Settings())
    reader = SlowReader()
    with trio.fail_after(SECONDS):
        async with running(app) as streamd, trio.open_nursery() as nursery:
            nursery.start_soon(reader.post, app)
            while reader.taken < 2:
                await trio.lowlevel.checkpoint()
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert reader.taken * len(PART) <= 65_536 + 3 * len(PART)
            assert streamd.runtime.broker.log.appended <= 1000
            reader.reads.set()
            while reader.answer.count(b"\n") < PARTS * 1000:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        answers = [json.loads(line) for line in reader.answer.splitlines()]
        assert [answer["line"] for answer in answers] == list(range(1, PARTS * 1000 + 1))
        assert all("id" in answer for answer in answers)
        assert streamd.runtime.broker.log.appended == PARTS * 1000


async def test_a_publisher_that_reads_its_answers_late_loses_none() -> None:
    """Its receive buffer is small, so that the answers fill all buffers, and then its own writes wait."""
    count = 20_000
    async with run_server() as server:
        with trio.fail_after(120):
            sock = trio.socket.socket()
            sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
            await sock.connect((server.host, server.port))
            async with trio.SocketStream(sock) as stream, trio.open_nursery() as nursery:
                head = f"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: {count * len(GOOD)}\r\n"
                head += "Content-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"
                nursery.start_soon(stream.send_all, head.encode() + GOOD * count)
                log = server.streamd.runtime.broker.log
                while log.appended < 1000:
                    await trio.lowlevel.checkpoint()
                received = bytearray()
                async for data in stream:
                    received += data
        assert received.count(b'{"line":') == received.count(b'"id":') == log.appended == count
        assert received.endswith(b"0\r\n\r\n")


# --- rights and limits ----------------------------------------------------------------------------


async def test_wrong_lines_count_for_the_limits() -> None:
    limits = LimitSettings(events_per_second=0.02, events_burst=3, bytes_per_second=1.0, bytes_burst=10_000)
    async with run_server(Settings(limits=limits)) as server:
        answers: list[Any] = []

        async def publish() -> None:
            answers.extend(await post(server, b"x\n" * 4))

        with trio.fail_after(SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(publish)
                while not waits(server.streamd, "publish-events"):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
        assert answers == []


@pytest.fixture
async def rig() -> AsyncIterator[AccessRig]:
    limits = LimitSettings(events_per_second=1.0, events_burst=2)
    async with serving_callers(Settings(limits=limits)) as rig:
        yield rig


async def test_a_caller_without_a_token_is_refused_before_its_body(rig: AccessRig) -> None:
    answer = await rig.http.post("/events", content=b"x\n", headers=HEADERS)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


async def test_lines_whose_token_is_revoked_while_they_wait_are_not_published(rig: AccessRig) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield GOOD * 3  # the third waits
        while not waits(rig.server.streamd, "publish-events"):
            await trio.lowlevel.checkpoint()
        rig.proofs.revoked.add("p")

    headers = {**HEADERS, **bearer("publisher")}
    answers = answers_of(await rig.http.post("/events", content=body(), headers=headers))
    assert [answer["line"] for answer in answers] == [1, 2, 3]
    assert [answer["error"]["code"] for answer in answers] == ["invalid-token"] * 3
    assert answers[0]["error"]["detail"] == "the token is revoked"
    assert rig.server.streamd.runtime.broker.log.appended == 0


async def test_lines_of_a_revoked_token_are_not_decoded(rig: AccessRig) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield GOOD
        while not rig.server.streamd.runtime.broker.log.appended:
            await trio.lowlevel.checkpoint()
        rig.proofs.revoked.add("p")
        yield b"x\n"

    headers = {**HEADERS, **bearer("publisher")}
    answers = answers_of(await rig.http.post("/events", content=body(), headers=headers))
    assert "id" in answers[0]
    assert answers[1]["error"]["code"] == "invalid-token"  # not invalid-body
