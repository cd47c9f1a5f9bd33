"""The sentiment dashboard's stream, over real sockets."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import attrs
import httpx
import pytest
import trio

from streamd.connections.settings import ConnectionSettings
from streamd.events import Event, EventId, Frame, Selectors
from streamd.events.ids import split_event_id
from streamd.events.sse import ServerSentEvent
from streamd.hub import LatestSendQueue, Overflow
from streamd.hub.settings import HubSettings
from streamd.services.sentiment.feed import METRICS_TOPIC
from streamd.services.sentiment.items import ITEMS_TOPIC
from streamd.services.sentiment.settings import SentimentSettings
from streamd.settings import Settings
from streamd.testing import RunningServer, StreamReader, StreamRefused, open_stream, run_server
from tests.support.counted import calls_here
from tests.support.waiting import until

PATH = "/api/v2/stream"
LIMIT_SECONDS = 30
STREAM = SentimentSettings().stream


@attrs.frozen
class Rig:
    """A running server and a client that posts items."""

    server: RunningServer
    http: httpx.AsyncClient

    async def post(self, *ids: str, ticker: str = "AAPL") -> None:
        items = [{"ticker": ticker, "text": "Good.", "item_id": id} for id in ids]
        answer = await self.http.post("/api/v2/items", json={"items": items})
        assert answer.status_code == 202

    async def post_until(self, stop: trio.Event) -> None:
        """Post items 0, 1, 2 and so on, one after the other."""
        number = 0
        while not stop.is_set():
            await self.post(str(number))
            number += 1

    @asynccontextmanager
    async def stream(self, last_event_id: str | None = None) -> AsyncIterator[StreamReader]:
        with trio.fail_after(LIMIT_SECONDS):
            async with open_stream(self.server.url, path=PATH, last_event_id=last_event_id) as reader:
                yield reader


@asynccontextmanager
async def serving(
    connections: ConnectionSettings | None = None, hub: HubSettings | None = None, **sentiment: Any
) -> AsyncIterator[Rig]:
    settings = Settings(
        sentiment=SentimentSettings(**sentiment),
        connections=connections or ConnectionSettings(),
        hub=hub or HubSettings(),
    )
    async with run_server(settings) as server, httpx.AsyncClient(base_url=server.url) as client:
        yield Rig(server, client)


async def next_of(reader: StreamReader, type: str) -> Any:
    """Return the data of the next event or control frame of a type."""
    while (block := await reader.next_block()) is not None:
        if isinstance(block, ServerSentEvent) and block.type == type:
            return json.loads(block.data)
    raise EOFError(f"the stream ended without {type}")


async def test_a_stream_starts_with_the_metrics_and_continues_live() -> None:
    async with serving() as rig:
        await rig.post("before")
        async with rig.stream() as reader:
            assert reader.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert reader.headers["cache-control"] == "no-cache, no-transform"
            assert reader.headers["x-accel-buffering"] == "no"
            first, second = [await reader.next_block() for _ in range(2)]
            assert isinstance(first, ServerSentEvent)
            assert isinstance(second, ServerSentEvent)
            assert (first.type, second.type) == ("connected", "metrics")
            assert json.loads(second.data)["total"] == 1
            assert json.loads(first.data)["heartbeat_seconds"] == 30
            assert second.last_event_id == ""  # the snapshot moves no cursor
            await rig.post("after", ticker="tsla")
            item = await next_of(reader, "new_item")
            assert datetime.fromisoformat(item.pop("timestamp")).tzinfo == UTC
            assert item == {"item_id": "after", "ticker": "TSLA", "sentiment": "positive", "score": 0.4404}
            while (metrics := await next_of(reader, "metrics"))["total"] != 2:
                pass  # the metrics of the first item
            assert metrics == {
                "total": 2,
                "positive": 2,
                "neutral": 0,
                "negative": 0,
                "by_tag": {"AAPL": 1, "TSLA": 1},
                "rate_last_hour": 2,
                "rate_last_24h": 2,
            }
            assert type(metrics["rate_last_hour"]) is type(metrics["rate_last_24h"]) is int
            assert metrics == (await rig.http.get("/api/v2/metrics")).json()


async def test_streams_that_begin_with_the_same_metrics_share_their_event() -> None:
    async with serving() as rig:
        await rig.post("a", ticker="AAPL")
        with calls_here("encode_data") as calls:
            answers = [(await rig.http.get(PATH + "/poll?wait=0")).json() for _ in range(10)]
    assert {answer["events"][0]["data"]["by_tag"]["AAPL"] for answer in answers} == {1}
    assert len(calls) < 10  # one for all, and perhaps that of the metrics which are published


async def test_streamed_metrics_keep_both_intervals() -> None:
    async with (
        serving(metrics_min_seconds=0.25, metrics_max_seconds=0.5) as rig,
        trio.open_nursery() as nursery,
    ):
        async with rig.stream() as reader:
            await reader.next_control("connected")
            assert [(await next_of(reader, "metrics"))["total"] for _ in range(3)] == [0, 0, 0]
            stop = trio.Event()
            nursery.start_soon(rig.post_until, stop)
            totals: list[int] = []
            ids: list[EventId] = []
            while len(ids) < 6:
                event = await reader.next_event()
                assert event is not None
                if event.type == "metrics":
                    totals.append(json.loads(event.data)["total"])
                    ids.append(EventId(event.last_event_id))
            assert totals == sorted(totals)
            assert totals[-1] > totals[0]
            # The ids carry the publishing times, to the millisecond.
            gaps = [split_event_id(later)[0] - split_event_id(earlier)[0] for earlier, later in pairwise(ids)]
            assert min(gaps) >= 249
            stop.set()


async def test_the_stream_after_the_hundredth_is_refused_until_one_leaves() -> None:
    async with serving() as rig, trio.open_nursery() as nursery:
        items: list[str] = []

        async def hold(task_status: trio.TaskStatus[trio.CancelScope]) -> None:
            with trio.CancelScope() as scope:
                async with rig.stream() as reader:
                    await next_of(reader, "metrics")
                    task_status.started(scope)
                    items.append((await next_of(reader, "new_item"))["item_id"])
                    await trio.sleep_forever()

        scopes = [await nursery.start(hold) for _ in range(100)]
        with pytest.raises(StreamRefused) as refused:
            async with rig.stream():
                pass
        assert refused.value.status == 503
        assert int(refused.value.headers["retry-after"]) > 0
        assert refused.value.headers["content-type"] == "application/problem+json"
        assert json.loads(refused.value.body)["code"] == "too-many-connections"
        status = (await rig.http.get("/api/v2/stream/status")).json()
        assert (status["connections"], status["max_connections"]) == (100, 100)

        await rig.post("to all")
        await until(lambda: len(items) == 100)
        assert set(items) == {"to all"}
        async with open_stream(rig.server.url, topics=["anything"]) as other:  # not in the group
            await other.next_control("connected")

        scopes[0].cancel()
        with trio.fail_after(LIMIT_SECONDS):
            while (await rig.http.get("/api/v2/stream/status")).json()["connections"] == 100:
                pass
        async with rig.stream() as reader:
            assert (await next_of(reader, "metrics"))["total"] == 1
        nursery.cancel_scope.cancel()


async def test_heartbeats_count_connections_on_a_busy_stream_too() -> None:
    connections = ConnectionSettings(sweep_seconds=0.02)
    async with (
        serving(connections, stream=attrs.evolve(STREAM, heartbeat_seconds=0.2)) as rig,
        trio.open_nursery() as nursery,
    ):
        async with (
            rig.stream() as reader,
            rig.stream(),
            open_stream(rig.server.url, topics=["a"], heartbeat="1") as other,
        ):
            await reader.next_control("connected")
            stop = trio.Event()
            nursery.start_soon(rig.post_until, stop)
            between = 0
            for _ in range(3):
                while True:
                    block = await reader.next_block()
                    assert isinstance(block, ServerSentEvent)
                    if block.type == "heartbeat":
                        break
                    between += 1
                beat = json.loads(block.data)
                assert beat.keys() == {"timestamp", "connections"}
                assert beat["connections"] == 2
                assert datetime.fromisoformat(beat["timestamp"]).tzinfo == UTC
            assert between > 0
            assert (await other.next_control("heartbeat")).keys() == {"timestamp"}
            stop.set()


async def test_streams_end_after_their_lifetime_and_resume_without_loss() -> None:
    connections = ConnectionSettings(sweep_seconds=0.02)
    async with serving(
        connections, stream=attrs.evolve(STREAM, max_lifetime_seconds=0.3), metrics_min_seconds=0.1
    ) as rig:
        seen: list[str] = []
        last: str | None = None
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            async with rig.stream() as reader:
                await next_of(reader, "metrics")
                nursery.start_soon(rig.post_until, stop)
                await next_of(reader, "new_item")
                seen.append("0")
                last = reader.last_event_id
            for _ in range(5):
                async with rig.stream(last) as reader:
                    first, second = [await reader.next_block() for _ in range(2)]
                    assert isinstance(first, ServerSentEvent)
                    assert isinstance(second, ServerSentEvent)
                    assert (first.type, second.type) == ("connected", "metrics")
                    assert reader.last_event_id == ""
                    while (block := await reader.next_block()) is not None:
                        assert isinstance(block, ServerSentEvent)
                        if block.type == "closing":
                            assert json.loads(block.data) == {"reason": "lifetime"}
                        elif block.type == "new_item":
                            seen.append(json.loads(block.data)["item_id"])
                        else:
                            assert block.type == "metrics"
                    last = reader.last_event_id or last
                    assert reader.retry_ms is not None
            stop.set()
        assert len(seen) > 10
        assert seen == [str(number) for number in range(len(seen))]


async def test_resuming_replays_every_missed_item_and_only_the_newest_metrics() -> None:
    async with serving(metrics_min_seconds=0.01) as rig:
        ids = [str(number) for number in range(8)]
        async with rig.stream() as reader:
            await next_of(reader, "metrics")
            for id in ids:
                await rig.post(id)
                if id == "0":
                    await next_of(reader, "new_item")
                    first = reader.last_event_id
                while (await next_of(reader, "metrics"))["total"] != int(id) + 1:
                    pass
        async with rig.stream(first) as reader:
            types: list[str] = []
            seen: list[str] = []
            total = 0
            while seen != ids[1:] or types[-1] != "metrics":
                block = await reader.next_block()
                assert isinstance(block, ServerSentEvent)
                types.append(block.type)
                if block.type == "new_item":
                    seen.append(json.loads(block.data)["item_id"])
                elif block.type == "metrics":
                    total = json.loads(block.data)["total"]
            assert types == ["connected", "metrics", *["new_item"] * 7, "metrics"]
            assert total == 8


async def test_joining_during_publishing_sees_each_item_once_and_in_order() -> None:
    async with serving() as rig, trio.open_nursery() as nursery:
        done = trio.Event()
        everything: list[str] = []  # event ids in the order of the first stream
        starts: list[list[str]] = []

        async def follow(into: list[str]) -> None:
            async with rig.stream() as reader:
                head = (await reader.next_control("connected"))["head"]
                assert isinstance(head, str)
                into.append(head)
                while (event := await reader.next_event()) is not None:
                    if event.type == "new_item":
                        into.append(event.last_event_id)
                        if json.loads(event.data)["item_id"] == "last":
                            return

        async with trio.open_nursery() as followers:
            followers.start_soon(follow, everything)
            await until(lambda: bool(everything))

            async def post() -> None:
                for number in range(60):
                    await rig.post(*[f"{number}/{place}" for place in range(5)])
                await done.wait()
                await rig.post("last")

            nursery.start_soon(post)
            for _ in range(25):
                starts.append([])
                followers.start_soon(follow, starts[-1])
                await until(lambda: bool(starts[-1]))
            done.set()
        assert len(everything) == 1 + 301
        for head, *seen in starts:
            assert seen == everything[-len(seen) :]  # the stream may start slightly before its announced head
            assert {id for id in everything if id > head} <= set(seen)


async def test_the_overflow_policy_merges_metrics_and_loses_no_item() -> None:
    hub_settings = HubSettings(send_queue_events=64, ring_events=256, batch_events=100)
    async with serving(hub=hub_settings, metrics_min_seconds=0.01) as rig:
        hub = rig.server.streamd.runtime.broker.hub
        selectors = Selectors([METRICS_TOPIC, ITEMS_TOPIC])
        small, large = (LatestSendQueue(capacity, 1_000_000) for capacity in (64, 10_000))
        with (
            hub.subscribe(selectors, None, small, overflow=Overflow.LATEST) as slow,
            hub.subscribe(selectors, None, large, overflow=Overflow.LATEST) as waiting,
        ):
            ids = [str(number) for number in range(600)]
            # The clients read nothing. Two metrics come before the small queue overflows, and merge.
            posted = 0
            while not (slow.merged and waiting.merged):
                await rig.post(ids[posted])
                posted += 1
            for start in range(posted, 600, 20):
                await rig.post(*ids[start : min(start + 20, 600)])
            await until(lambda: hub.statistics()["ahead"] == 0 and large.waiting > 600)
            assert not slow.live  # its queue overflowed, so it reads from the log
            for subscription in (slow, waiting):
                frames: list[Frame] = []
                while items(frames) != ids or not metrics(frames) or metrics(frames)[-1] != 600:
                    with trio.fail_after(LIMIT_SECONDS):
                        frames += await subscription.receive()
                assert subscription.merged > 0
                assert metrics(frames) == sorted(metrics(frames))


def items(frames: list[Frame]) -> list[str]:
    return [
        frame.value["item_id"] for frame in frames if isinstance(frame, Event) and frame.type == "new_item"
    ]


def metrics(frames: list[Frame]) -> list[int]:
    return [frame.value["total"] for frame in frames if isinstance(frame, Event) and frame.type == "metrics"]
