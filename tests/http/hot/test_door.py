"""The door past the web framework: bodies, clients that leave, bugs, and memory of streams."""

import gc
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs
import pytest
import trio
import trio.testing
from quart_trio import QuartTrio

from streamd.app import create_app, running
from streamd.events import EventSettings
from streamd.extension import Streamd
from streamd.http.hot.request import HTTPRequest
from streamd.log.memory import MemoryLog
from streamd.log.settings import LogSettings
from streamd.settings import Settings
from streamd.transports.asgi import CONNECTION_EXTENSION

EVENT: Final = b'{"topic":"a","data":1}'
JSON: Final = [(b"content-type", b"application/json")]
NDJSON: Final = [(b"content-type", b"application/x-ndjson")]
GONE: Final[Any] = {"type": "http.disconnect"}


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


class Exchange:
    """One request on plain ASGI, and the messages of its answer.

    Args:
        messages: those that the server has; then it waits.
    """

    def __init__(
        self,
        method: str,
        path: str,
        headers: list[tuple[bytes, bytes]] | None = None,
        query: bytes = b"",
        messages: list[dict[str, Any]] | None = None,
        **scope: Any,
    ) -> None:
        self.calls: list[str] = []
        self.sent: list[dict[str, Any]] = []
        self.began = trio.Event()
        self._in, self._out = trio.open_memory_channel[dict[str, Any]](10)
        for message in messages or []:
            self.arrive(message)
        self.scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "query_string": query,
            "root_path": "",
            "headers": [(b"host", b"localhost"), *(headers or [])],
            "client": ("192.0.2.1", 1),
            "server": ("127.0.0.1", 80),
            **scope,
        }

    def arrive(self, message: dict[str, Any]) -> None:
        """Let the server have one more message."""
        self._in.send_nowait(message)

    async def receive(self) -> dict[str, Any]:
        self.calls.append("receive")
        return await self._out.receive()

    async def send(self, message: dict[str, Any]) -> None:
        self.calls.append("send")
        self.sent.append(message)
        self.began.set()

    async def run(self, app: Any) -> None:
        await app(self.scope, self.receive, self.send)

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])


class FakeTransport:
    """The transport of a server that has the body already, and sees clients leave."""

    def __init__(self, body: bytes | None = None) -> None:
        self.body = body
        self.is_watched = trio.Event()
        self.leave: Callable[[], None] = lambda: None

    def call_in_turn(self, function: Callable[[], None]) -> None:
        function()

    def take_body(self) -> bytes | None:
        return self.body

    def watch(self, on_disconnect: Callable[[], None]) -> None:
        self.leave = on_disconnect
        self.is_watched.set()

    def abort(self) -> None:
        """Close nothing."""


@attrs.frozen
class Rig:
    app: QuartTrio
    streamd: Streamd

    async def published(self) -> int:
        return self.streamd.runtime.broker.log.appended


@asynccontextmanager
async def serving(app: QuartTrio | None = None) -> AsyncIterator[Rig]:
    app = app or create_app()
    with trio.fail_after(20):
        async with running(app, with_demo=False) as streamd:
            yield Rig(app, streamd)


async def do_nothing() -> None:
    """Be a hook, which the hot routes may not bypass."""


async def test_a_body_may_come_in_parts() -> None:
    async with serving() as rig:
        parts = [part(EVENT[:5], more=True), part(b"", more=True), part(EVENT[5:])]
        exchange = Exchange("POST", "/events", JSON, messages=parts)
        await exchange.run(rig.app)
    assert exchange.status == 201


async def test_a_body_that_the_server_has_is_taken_without_receive() -> None:
    async with serving() as rig:
        extensions = {CONNECTION_EXTENSION: FakeTransport(EVENT)}
        exchange = Exchange("POST", "/events", JSON, extensions=extensions)
        await exchange.run(rig.app)
    assert (exchange.status, "receive" in exchange.calls) == (201, False)


async def test_a_body_that_the_server_lacks_is_received() -> None:
    async with serving() as rig:
        extensions = {CONNECTION_EXTENSION: FakeTransport(None)}
        exchange = Exchange("POST", "/events", JSON, messages=[part(EVENT)], extensions=extensions)
        await exchange.run(rig.app)
    assert exchange.status == 201


async def test_a_taken_body_has_the_same_bound() -> None:
    async with serving() as rig:
        large = b'{"topic":"a","data":"' + b"x" * 9_000_000 + b'"}'
        extensions = {CONNECTION_EXTENSION: FakeTransport(large)}
        exchange = Exchange("POST", "/events", JSON, extensions=extensions)
        await exchange.run(rig.app)
    assert exchange.status == 413


async def test_a_body_that_does_not_arrive_is_refused() -> None:
    settings = Settings(events=EventSettings(body_timeout_seconds=0.01))
    async with serving(create_app(settings)) as rig:
        exchange = Exchange("POST", "/events", JSON, messages=[part(EVENT[:5], more=True)])
        await exchange.run(rig.app)
    assert exchange.status == 400
    assert json.loads(exchange.body)["detail"] == "the body did not arrive in time"


async def test_a_client_that_leaves_within_its_body_gets_no_answer() -> None:
    async with serving() as rig:
        exchange = Exchange("POST", "/events", JSON, messages=[part(EVENT[:5], more=True), GONE])
        await exchange.run(rig.app)
        assert await rig.published() == 0
    assert exchange.sent == []


@pytest.mark.parametrize("is_framed", [False, True])
async def test_ndjson_may_be_longer_than_a_body_at_once(is_framed: bool) -> None:
    app = create_app()
    if is_framed:
        app.before_request(do_nothing)
    async with serving(app) as rig:
        lines = [part(EVENT + b"\n", more=True), part(EVENT)]
        exchange = Exchange("POST", "/events", [*NDJSON, (b"content-length", b"9999999")], messages=lines)
        await exchange.run(rig.app)
    assert [sorted(json.loads(line)) for line in exchange.body.splitlines()] == [["id", "line"]] * 2


async def test_ndjson_is_received_before_its_answer_begins() -> None:
    # A client that expects 100 gets it from the server when the application receives.
    async with serving() as rig, trio.open_nursery() as nursery:
        exchange = Exchange("POST", "/events", NDJSON)
        nursery.start_soon(exchange.run, rig.app)
        await exchange.began.wait()
        exchange.arrive(part(EVENT))
    assert exchange.calls[:2] == ["receive", "send"]
    assert exchange.status == 200


async def test_a_client_that_leaves_within_ndjson_ends_the_request() -> None:
    async with serving() as rig:
        exchange = Exchange("POST", "/events", NDJSON, messages=[part(EVENT + b"\n{", more=True), GONE])
        await exchange.run(rig.app)
        assert await rig.published() <= 1


def waiting_exchanges() -> list[Any]:
    poll: tuple[Any, ...] = ("GET", "/events/poll", [], b"topic=a&wait=20", [part(b"")])
    body = b'{"kinds":["k"],"worker":"w","wait_seconds":20}'
    claim: tuple[Any, ...] = ("POST", "/tasks/claim", JSON, b"", [part(body)])
    return [pytest.param(*poll, id="poll"), pytest.param(*claim, id="claim")]


@pytest.mark.parametrize(("method", "path", "headers", "query", "messages"), waiting_exchanges())
@pytest.mark.parametrize("is_watched", [True, False])
async def test_a_client_that_leaves_ends_its_wait(
    method: str, path: str, headers: Any, query: bytes, messages: Any, is_watched: bool
) -> None:
    async with serving() as rig, trio.open_nursery() as nursery:
        transport = FakeTransport()
        extensions = {CONNECTION_EXTENSION: transport} if is_watched else {}
        exchange = Exchange(method, path, headers, query, messages, extensions=extensions)
        nursery.start_soon(exchange.run, rig.app)
        if is_watched:
            await transport.is_watched.wait()
            transport.leave()
        else:
            exchange.arrive(GONE)
    assert exchange.sent == []


async def test_a_worker_that_leaves_claims_nothing() -> None:
    async with serving() as rig:
        async with trio.open_nursery() as nursery:
            body = part(b'{"kinds":["k"],"worker":"w","wait_seconds":20}')
            exchange = Exchange("POST", "/tasks/claim", JSON, messages=[body, GONE])
            nursery.start_soon(exchange.run, rig.app)
        task = await rig.streamd.tasks.create("k")
        assert (await rig.streamd.tasks.get(task.id)).status == "pending"


class BuggyLog(MemoryLog):
    """A log with a bug."""

    async def append(self, *arguments: Any, **options: Any) -> Any:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("a secret of the server")


async def test_a_bug_is_answered_without_details() -> None:
    async with serving(create_app(log=BuggyLog(LogSettings()))) as rig:
        exchange = Exchange("POST", "/events", JSON, messages=[part(EVENT)])
        await exchange.run(rig.app)
    problem = json.loads(exchange.body)
    assert (exchange.status, problem["code"]) == (500, "internal")
    assert b"secret" not in exchange.body


async def test_a_stream_keeps_neither_the_request_nor_its_headers() -> None:
    async with serving() as rig, trio.open_nursery() as nursery:
        exchange = Exchange("GET", "/events", [(b"user-agent", b"x" * 1000)], b"topic=a")
        nursery.start_soon(exchange.run, rig.app)
        await exchange.began.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert exchange.status == 200
        assert exchange.scope["headers"] == []
        requests = [found for found in gc.get_objects() if isinstance(found, HTTPRequest)]
        assert not any(request.scope is exchange.scope for request in requests)
        exchange.arrive(GONE)


async def test_answers_to_head_have_the_length_and_no_content() -> None:
    async with serving() as rig:
        exchange = Exchange("HEAD", "/health/live")
        await exchange.run(rig.app)
    assert (b"content-length", b"18") in exchange.sent[0]["headers"]
    assert exchange.body == b""
