"""NDJSON above the limits waits: the server reads no more until the publisher may go on."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import h11
import trio
import trio.testing

from streamd.app import create_app
from streamd.limits import LimitSettings
from streamd.settings import Settings
from streamd.testing import RunningServer, run_server
from tests.support.addressed import give_addresses
from tests.support.http2_client import ManualHTTP2Client

SECONDS = 30
HEADERS = [("Host", "x"), ("Content-Type", "application/x-ndjson"), ("Transfer-Encoding", "chunked")]


@asynccontextmanager
async def serving(limits: LimitSettings) -> AsyncIterator[RunningServer]:
    settings = Settings(limits=limits)
    async with run_server(settings, app=give_addresses(create_app(settings))) as server:
        yield server


class Upload:
    """A request whose body goes on, and the lines of its answer."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT)
        self._received = b""

    async def begin(self) -> None:
        await self._send(h11.Request(method="POST", target="/events", headers=HEADERS))

    async def send(self, data: bytes) -> None:
        await self._send(h11.Data(data=data))

    async def end(self) -> None:
        await self._send(h11.EndOfMessage())

    async def answer(self) -> dict[str, object] | None:
        """Return the next line of the answer; None after its end."""
        while b"\n" not in self._received:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._stream.receive_some())
            if isinstance(event, h11.Response):
                assert event.status_code == 200
            elif isinstance(event, h11.Data):
                self._received += bytes(event.data)
            else:
                return None
        line, _, self._received = self._received.partition(b"\n")
        answer: dict[str, object] = json.loads(line)
        return answer

    async def _send(self, event: h11.Request | h11.Data | h11.EndOfMessage) -> None:
        await self._stream.send_all(self._http.send(event) or b"")


@asynccontextmanager
async def upload(server: RunningServer) -> AsyncIterator[Upload]:
    with trio.fail_after(SECONDS):
        async with await trio.open_tcp_stream(server.host, server.port) as stream:
            request = Upload(stream)
            await request.begin()
            yield request


def lines(count: int, size: int = 1) -> bytes:
    return (json.dumps({"topic": "a", "data": "x" * size}).encode() + b"\n") * count


def metric(server: RunningServer, name: str, limit: str) -> float:
    value = server.streamd.metrics.registry.get_sample_value(name, {"limit": limit})
    return value or 0.0


async def test_lines_wait_for_the_rate_and_none_is_refused() -> None:
    async with serving(LimitSettings(events_per_second=200.0, events_burst=10)) as server:
        began = trio.current_time()
        async with upload(server) as request:
            await request.send(lines(60))
            await request.end()
            answers = []
            while (answer := await request.answer()) is not None:
                answers.append(answer)
        assert [answer["line"] for answer in answers] == list(range(1, 61))
        assert all("id" in answer for answer in answers)
        assert trio.current_time() - began >= (60 - 10) / 200
        assert metric(server, "streamd_limit_waits_total", "publish-events") > 0
        assert metric(server, "streamd_limit_refusals_total", "publish-events") == 0


async def test_a_client_far_ahead_is_not_read() -> None:
    async with serving(LimitSettings(bytes_per_second=1000.0, bytes_burst=200_000)) as server:
        async with upload(server) as request:
            sent = 0
            part = lines(1, 30_000)
            with trio.move_on_after(SECONDS):
                while metric(server, "streamd_limit_waits_total", "publish-bytes") == 0:
                    await request.send(part)
                    sent += len(part)
                # It waits now. What is sent from here on fills buffers, and then nothing is taken.
                while True:
                    with trio.move_on_after(0.5) as patience:
                        await request.send(part)
                        sent += len(part)
                    if patience.cancelled_caught:
                        break
            assert metric(server, "streamd_limit_waits_total", "publish-bytes") > 0
            # Bounded by the buffers of two sockets, and far from the 8 MB at which the body would be refused.
            assert sent < 16_000_000
            appended = server.streamd.runtime.broker.log.appended
            assert 1 <= appended <= 200_000 // 30_000


async def test_lines_that_would_wait_for_minutes_are_refused() -> None:
    async with serving(LimitSettings(events_per_second=0.001, events_burst=3)) as server:
        async with upload(server) as request:
            await request.send(lines(3))
            assert all(["id" in (await request.answer() or {}) for _ in range(3)])
            await request.send(lines(2))
            for number in (4, 5):
                answer: Any = await request.answer()
                assert (answer["line"], answer["error"]["code"]) == (number, "too-many-requests")
        assert metric(server, "streamd_limit_refusals_total", "publish-events") == 1


async def test_a_client_that_leaves_while_it_waits_publishes_nothing_more() -> None:
    async with serving(LimitSettings(events_per_second=0.02, events_burst=3)) as server:
        async with upload(server) as request:
            await request.send(lines(3))
            for _ in range(3):
                await request.answer()
            await request.send(lines(5))
            while not metric(server, "streamd_limit_waits_total", "publish-events"):
                await trio.lowlevel.checkpoint()
        while any(task.name.endswith("handle_request") for task in _tasks(trio.lowlevel.current_root_task())):
            await trio.lowlevel.checkpoint()
        assert server.streamd.runtime.broker.log.appended == 3


async def send_for_ever(client: ManualHTTP2Client, stream_id: int) -> None:
    while True:
        await client.send_body(stream_id, lines(1, 10_000))


async def test_on_http2_other_requests_of_the_connection_go_on() -> None:
    async with serving(LimitSettings(bytes_per_second=1000.0, bytes_burst=200_000)) as server:
        with trio.fail_after(SECONDS):
            async with await trio.open_tcp_stream(server.host, server.port) as stream:
                client = ManualHTTP2Client(stream)
                upload = await client.post("/events", {"content-type": "application/x-ndjson"})
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(send_for_ever, client, upload)
                    while not metric(server, "streamd_limit_waits_total", "publish-bytes"):
                        await trio.lowlevel.checkpoint()
                    await trio.testing.wait_all_tasks_blocked()
                    nursery.cancel_scope.cancel()
                assert not client.http.local_flow_control_window(upload) > 10_000, "the stream pushes back"
                assert client.http.outbound_flow_control_window > 10_000, "the connection does not"
                other = await client.get("/health/live")
                while other not in client.ended:
                    await client.read()
                assert json.loads(client.received[other]) == {"status": "alive"}


def _tasks(task: trio.lowlevel.Task | None) -> list[trio.lowlevel.Task]:
    """Return a trio task and all below it."""
    if task is None:
        return []
    below = [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return [task, *(found for child in below for found in _tasks(child))]
