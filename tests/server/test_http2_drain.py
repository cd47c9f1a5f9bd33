"""HTTP/2 in the graceful shutdown (RFC 9113 section 6.8): GOAWAY, and no request is lost."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from h2.errors import ErrorCodes
from quart_trio import QuartTrio

from streamd import Streamd
from streamd.settings import Settings
from streamd.testing import RunningServer, run_server
from tests.support.http2_frames import GET, FrameClient

_DEFAULTS = Settings()


def settings(**server: Any) -> Settings:
    """Build the settings of a server."""
    return attrs.evolve(_DEFAULTS, server=attrs.evolve(_DEFAULTS.server, **server))


def get(path: bytes) -> list[tuple[bytes, bytes]]:
    """Build the head of a request."""
    return [*((name, value) for name, value in GET if name != b":path"), (b":path", path)]


class SlowApp:
    """An application that answers and drains when a test says so.

    Attributes:
        began: a request of ``/slow`` has arrived.
        may_answer: it may be answered.
        drains: the graceful shutdown has begun.
        has_drained: the time of ``server.drain_seconds`` is over.
    """

    def __init__(self) -> None:
        self.app = QuartTrio(__name__)
        Streamd(self.app)
        self.app.extensions["streamd"].drain = self._drain
        self.drains = trio.Event()
        self.has_drained = trio.Event()
        self.may_answer = trio.Event()
        self.began = trio.Event()
        self.app.add_url_rule("/slow", view_func=self._answer)
        self.app.add_url_rule("/fast", view_func=self._answer_at_once)

    async def _drain(self, _seconds: float) -> None:
        self.drains.set()
        await self.has_drained.wait()

    async def _answer(self) -> str:
        self.began.set()
        await self.may_answer.wait()
        return "x" * 100_000

    async def _answer_at_once(self) -> str:
        return "fast"

    async def begin_and_drain(self, server: RunningServer, client: "FrameClient") -> None:
        """Begin a slow request on stream 1, stop the server, and read until its drain is over: GOAWAY."""
        await client.ask(1, get(b"/slow"))
        await self.began.wait()
        server.stop()
        self.has_drained.set()
        while not client.goaways:
            await client.read()


@asynccontextmanager
async def connect(server: RunningServer) -> AsyncIterator[FrameClient]:
    async with await trio.open_tcp_stream(server.host, server.port) as tcp:
        client = FrameClient(tcp)
        await client.begin()
        yield client


async def test_an_idle_connection_is_told_and_closed() -> None:
    with trio.fail_after(30):
        async with run_server(settings(drain_seconds=20.0)) as server, connect(server) as client:
            await client.ask(1)
            await client.read_until_over(1)
            server.stop()
            await client.read_until_closed()
            assert client.goaways == [(1, ErrorCodes.NO_ERROR)]


async def test_a_connection_without_requests_is_told_that_none_was_answered() -> None:
    with trio.fail_after(30):
        async with run_server() as server, connect(server) as client:
            await client.ping()
            server.stop()
            await client.read_until_closed()
            assert client.goaways == [(0, ErrorCodes.NO_ERROR)]


async def test_streams_are_told_to_leave_before_the_connection_goes() -> None:
    with trio.fail_after(30):
        async with run_server(settings(drain_seconds=20.0)) as server, connect(server) as client:
            for stream_id in (1, 3):
                await client.ask(stream_id, get(b"/events?topic=a"))
                while b"connected" not in client.bodies.get(stream_id, b""):
                    await client.read()
            server.stop()
            await client.read_until_closed()
            for stream_id in (1, 3):
                assert b"event: closing\n" in client.bodies[stream_id]
                assert b"retry: " in client.bodies[stream_id]
            assert client.ended == {1, 3}
            assert client.goaways == [(3, ErrorCodes.NO_ERROR)]


async def test_a_request_in_progress_is_answered_and_new_ones_are_refused() -> None:
    slow = SlowApp()
    with trio.fail_after(30):
        async with (
            run_server(settings(grace_seconds=20.0), app=slow.app) as server,
            connect(server) as client,
        ):
            await slow.begin_and_drain(server, client)
            assert client.goaways == [(1, ErrorCodes.NO_ERROR)]
            for stream_id in (3, 5):
                await client.ask(stream_id, get(b"/fast"))
                await client.read_until_over(stream_id)
                assert client.resets[stream_id] == ErrorCodes.REFUSED_STREAM
                assert stream_id not in client.heads
            await client.ping()  # still served
            slow.may_answer.set()
            await client.widen(1, 100_000)
            await client.read_until_closed()
            assert client.bodies[1] == b"x" * 100_000
            assert 1 in client.ended
            assert client.goaways == [(1, ErrorCodes.NO_ERROR)]


async def test_a_new_request_within_the_drain_is_refused_with_a_goaway() -> None:
    """Clients that get it open another connection, and leave the streams of this one alone."""
    slow = SlowApp()
    with trio.fail_after(30):
        async with run_server(app=slow.app) as server, connect(server) as client:
            await client.ask(1, get(b"/slow"))
            await slow.began.wait()
            server.stop()
            await slow.drains.wait()
            await client.ping()
            assert client.goaways == []
            await client.ask(3, get(b"/fast"))
            await client.read_until_over(3)
            assert client.resets == {3: ErrorCodes.REFUSED_STREAM}
            assert client.goaways == [(1, ErrorCodes.NO_ERROR)]
            slow.may_answer.set()
            await client.widen(1, 100_000)
            await client.read_until_closed()
            assert client.bodies[1] == b"x" * 100_000
            slow.has_drained.set()


@pytest.mark.parametrize("how", ["reset", "refused"])
async def test_a_connection_that_drains_ends_after_its_last_stream_however_that_ends(how: str) -> None:
    slow = SlowApp()
    with trio.fail_after(30):
        async with (
            run_server(settings(grace_seconds=20.0), app=slow.app) as server,
            connect(server) as client,
        ):
            await slow.begin_and_drain(server, client)
            if how == "refused":
                await client.ask(3, get(b"/fast"))
            await client.reset(1)
            await client.read_until_closed()


async def test_a_connection_that_begins_in_the_drain_is_refused() -> None:
    slow = SlowApp()
    with trio.fail_after(30):
        async with (
            run_server(settings(grace_seconds=20.0), app=slow.app) as server,
            connect(server) as busy,
            await trio.open_tcp_stream(server.host, server.port) as tcp,
        ):
            await busy.ask(1, get(b"/slow"))
            await slow.began.wait()
            await trio.testing.wait_all_tasks_blocked()  # the second is accepted, and has sent nothing
            server.stop()
            await slow.drains.wait()
            client = FrameClient(tcp)
            await client.begin()
            await client.read_until_closed()
            assert client.goaways == [(0, ErrorCodes.NO_ERROR)]
            slow.has_drained.set()
            await busy.reset(1)
