"""The opening of a stream: frames before those of its source."""

from collections.abc import AsyncIterator, Sequence
from contextvars import ContextVar

import trio
from quart_trio import QuartTrio

from streamd import EventStream, Streamd
from streamd.events import Frame, UnloggedEvent
from streamd.events.sse import ServerSentEvent
from streamd.testing import StreamReader, open_stream, run_server


class Shop:
    """An application whose streams begin with a state."""

    def __init__(self) -> None:
        self.app = QuartTrio("shop")
        self.streamd = Streamd(self.app)
        self.openings = 0
        self.app.get("/log")(self.log)
        self.app.get("/own")(self.own)
        self.app.get("/failing")(self.failing)

    def opening(self) -> Sequence[Frame]:
        self.openings += 1
        return [UnloggedEvent({"openings": self.openings}, type="state"), UnloggedEvent("more", type="state")]

    def fail(self) -> Sequence[Frame]:
        raise RuntimeError("raised by the test")

    async def log(self) -> EventStream:
        return EventStream("a", opening=self.opening)

    async def own(self) -> EventStream:
        async def items() -> AsyncIterator[str]:
            yield "item"

        return EventStream(items(), opening=self.opening)

    async def failing(self) -> EventStream:
        return EventStream("a", opening=self.fail)


async def types(reader: StreamReader, count: int) -> list[str]:
    blocks = [await reader.next_block() for _ in range(count)]
    return [block.type if isinstance(block, ServerSentEvent) else "" for block in blocks]


async def test_the_opening_comes_between_connected_and_missed_events() -> None:
    shop = Shop()
    async with run_server(app=shop.app) as server:
        first = await server.streamd.publish("a", "1")
        await server.streamd.publish("a", "2", type="event")
        async with open_stream(server.url, path="/log", last_event_id=first) as reader:
            assert await types(reader, 3) == ["connected", "state", "state"]
            assert reader.last_event_id == ""
            assert [event.data for event in await reader.take(1)] == ["2"]
        assert shop.openings == 1


async def test_events_published_while_a_stream_begins_come_after_its_opening() -> None:
    shop = Shop()
    async with run_server(app=shop.app) as server, trio.open_nursery() as nursery:

        async def publish() -> None:
            while True:  # also between the subscription's position in the log and the first write
                await server.streamd.publish("a", "x", type="event")

        nursery.start_soon(publish)
        for _ in range(20):
            async with open_stream(server.url, path="/log") as reader:
                assert await types(reader, 5) == ["connected", "state", "state", "event", "event"]
        nursery.cancel_scope.cancel()


async def test_a_generated_stream_may_have_an_opening() -> None:
    async with run_server(app=Shop().app) as server:
        async with open_stream(server.url, path="/own") as reader:
            assert await types(reader, 4) == ["connected", "state", "state", "message"]


async def test_head_builds_no_opening() -> None:
    shop = Shop()
    async with run_server(app=shop.app) as server:
        stream = await trio.open_tcp_stream(server.host, server.port)
        async with stream:
            await stream.send_all(b"HEAD /log HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            with trio.fail_after(20):
                answer = b"".join([bytes(part) async for part in stream])
        assert answer.startswith(b"HTTP/1.1 200")
        assert shop.openings == 0


async def test_an_opening_that_fails_ends_only_its_own_stream() -> None:
    async with run_server(app=Shop().app) as server:
        async with open_stream(server.url, path="/failing") as failing:
            assert await failing.next_control("closing") == {"reason": "error"}
            assert await failing.next_block() is None
        async with open_stream(server.url, path="/log") as reader:
            assert await types(reader, 2) == ["connected", "state"]


async def test_an_opening_sees_the_context_variables_of_its_view() -> None:
    language: ContextVar[str] = ContextVar("language", default="")
    shop = Shop()

    def opening() -> Sequence[Frame]:
        return [UnloggedEvent(language.get(), type="state")]

    @shop.app.get("/localized")
    async def localized() -> EventStream:
        language.set("sv")
        return EventStream("a", opening=opening)

    async with run_server(app=shop.app) as server:
        async with open_stream(server.url, path="/localized") as reader:
            await reader.next_control("connected")
            block = await reader.next_block()
            assert isinstance(block, ServerSentEvent)
            assert block.data == "sv"
