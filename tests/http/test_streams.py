"""Event streams over HTTP, from the log and from generators."""

import gc
from collections.abc import AsyncIterator
from functools import partial

import hypercorn
import hypercorn.trio
import pytest
import trio
import trio.testing
from quart_trio import QuartTrio

from streamd import EventStream, Streamd, create_app
from streamd.connections.settings import ConnectionSettings
from streamd.events import UnloggedEvent
from streamd.events.sse import DecodedCursorMove, ServerSentEvent
from streamd.settings import Settings
from streamd.testing import RunningServer, StreamRefused, open_stream, run_server


async def test_a_stream_begins_with_connected_and_has_headers_for_proxies(
    streamd_server: RunningServer,
) -> None:
    async with open_stream(streamd_server.url, topics=["a"]) as reader:
        assert reader.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert reader.headers["cache-control"] == "no-cache, no-transform"
        assert reader.headers["x-accel-buffering"] == "no"
        assert "content-length" not in reader.headers
        connected = await reader.next_control("connected")
        assert connected["head"] == streamd_server.streamd.runtime.broker.log.head
        assert reader.retry_ms == 2000
        assert reader.last_event_id == ""


async def test_the_cursor_header_takes_precedence_and_earliest_replays_everything(
    streamd_server: RunningServer,
) -> None:
    ids = [await streamd_server.streamd.publish("a", str(n)) for n in range(5)]
    for header, parameter, expected in (
        (ids[3], ids[0], ["4"]),
        (None, ids[2], ["3", "4"]),
        ("earliest", ids[2], ["0", "1", "2", "3", "4"]),
    ):
        path = f"/events?topic=a&last_event_id={parameter}"
        async with open_stream(streamd_server.url, path=path, last_event_id=header) as reader:
            assert [event.data for event in await reader.take(len(expected))] == expected


async def test_a_quiet_stream_gets_heartbeats_and_cursor_moves() -> None:
    settings = Settings(connections=ConnectionSettings(sweep_seconds=0.02, min_heartbeat_seconds=0.05))
    async with run_server(settings) as server:
        async with open_stream(server.url, topics=["a"], heartbeat="0.1") as reader:
            await reader.next_control("connected")
            head = await server.streamd.publish("b", "for others")
            with trio.fail_after(20):
                blocks = [await reader.next_block() for _ in range(2)]
                while not isinstance(blocks[-1], DecodedCursorMove):
                    blocks.append(await reader.next_block())
            assert {block.type for block in blocks if isinstance(block, ServerSentEvent)} == {"heartbeat"}
            assert reader.last_event_id == head


async def test_head_answers_headers_and_ends(streamd_server: RunningServer) -> None:
    stream = await trio.open_tcp_stream(streamd_server.host, streamd_server.port)
    async with stream:
        await stream.send_all(b"HEAD /events?topic=a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        with trio.fail_after(20):
            answer = b"".join([bytes(part) async for part in stream])
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n")


def generator_app() -> QuartTrio:
    app = QuartTrio("own")
    Streamd(app)

    async def items() -> AsyncIterator[object]:
        yield "text"
        yield {"n": 1}
        yield UnloggedEvent("mine", type="own", id="my-7")

    async def failing() -> AsyncIterator[object]:
        yield "one"
        raise RuntimeError("raised by the test")

    @app.get("/items")
    async def view() -> EventStream:
        return EventStream(items())

    @app.get("/failing")
    async def failing_view() -> EventStream:
        return EventStream(failing())

    return app


async def test_a_stream_ends_with_its_generator_and_a_reconnect_gets_204() -> None:
    async with run_server(app=generator_app()) as server:
        async with open_stream(server.url, path="/items") as reader:
            events = await reader.take(3)
            assert [event.data for event in events] == ["text", '{"n":1}', "mine"]
            assert (events[2].type, events[2].last_event_id) == ("own", "my-7")
            assert await reader.next_event() is None
            last = reader.last_event_id
        # A browser reconnects by itself; 204 stops it.
        with pytest.raises(StreamRefused) as rejected:
            async with open_stream(server.url, path="/items", last_event_id=last):
                pass
        assert rejected.value.status == 204


async def test_an_exception_in_one_stream_ends_only_that_one() -> None:
    async with run_server(app=generator_app()) as server:
        async with open_stream(server.url, path="/failing") as failing:
            assert [event.data for event in await failing.take(1)] == ["one"]
            assert await failing.next_control("closing") == {"reason": "error"}
            assert await failing.next_block() is None
        async with open_stream(server.url, path="/items") as reader:
            assert len(await reader.take(3)) == 3


async def test_overflow_latest_replays_the_newest_event_only(streamd_server: RunningServer) -> None:
    for number in range(50):
        await streamd_server.streamd.publish("a", str(number))
    async with open_stream(
        streamd_server.url, topics=["a"], last_event_id="earliest", overflow="latest"
    ) as reader:
        assert [event.data for event in await reader.take(1)] == ["49"]


async def test_stock_hypercorn_serves_streams() -> None:
    config = hypercorn.Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    stop = trio.Event()
    app = create_app()
    async with trio.open_nursery() as nursery:
        serve = partial(hypercorn.trio.serve, app, config, shutdown_trigger=stop.wait)
        [url] = await nursery.start(serve)
        async with open_stream(url, topics=["a"]) as reader:
            await reader.next_control("connected")
            await app.extensions["streamd"].publish("a", "hello")
            assert [event.data for event in await reader.take(1)] == ["hello"]
        stop.set()


async def test_a_stream_through_a_view_keeps_neither_trio_tasks_nor_the_request() -> None:
    app = QuartTrio("views")
    streamd = Streamd(app)

    @app.get("/view")
    async def view() -> EventStream:
        return EventStream("a")

    def kept() -> tuple[int, int]:
        gc.collect()
        found = [type(item) for item in gc.get_objects()]
        return found.count(trio.lowlevel.Task), found.count(app.request_class)

    async with run_server(app=app) as server:
        async with open_stream(server.url, path="/view") as reader:
            await reader.next_control("connected")
            await trio.testing.wait_all_tasks_blocked(0.01)
            tasks, requests = kept()
            async with open_stream(server.url, path="/view") as second:
                await second.next_control("connected")
                await trio.testing.wait_all_tasks_blocked(0.01)
                more_tasks, more_requests = kept()
                assert more_tasks - tasks == 1  # of the connection
                assert more_requests == requests == 0
                await streamd.publish("a", "1", type="event")
                assert [event.data for event in await second.take(1)] == ["1"]
