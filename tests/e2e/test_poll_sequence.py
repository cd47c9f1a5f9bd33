"""Long sequences of polls, each from the previous cursor, during publishing."""

from typing import Any

import attrs
import httpx
import pytest
import trio

from streamd.connections.settings import ConnectionSettings, PollSettings
from streamd.events import EARLIEST
from streamd.log.settings import LogSettings
from streamd.settings import Settings
from streamd.testing import RunningServer, open_stream, run_server

# Each is published once the previous one was received: number of events, and events in one request.
BURSTS = ((1, 1), (40, 40), (30, 1), (150, 150), (60, 7), (1, 1), (100, 3), (18, 18), (1, 1))
EVENTS = sum(count for count, _ in BURSTS)
SECONDS = 100
# Fewer than the events of one request, so that an answer cannot hold all of them.
SETTINGS = Settings(poll=PollSettings(max_events=25))


@attrs.define
class Poller:
    """Polls ``news/*`` and records the events."""

    http: httpx.AsyncClient
    wait_seconds: float
    cursor: str = str(EARLIEST)
    polls: int = 0
    ids: list[str] = attrs.field(factory=list)
    data: list[Any] = attrs.field(factory=list)
    received_more: trio.Event = attrs.field(factory=trio.Event)

    async def run(self) -> None:
        """Poll until all events have arrived, and once more to check that nothing follows."""
        while len(self.data) < EVENTS:
            answer = await self.poll(self.wait_seconds)
            if answer["events"]:
                assert answer["next"] == answer["events"][-1]["id"]
                self.ids += [event["id"] for event in answer["events"]]
                self.data += [event["data"] for event in answer["events"]]
                self.received_more.set()
                self.received_more = trio.Event()
        assert (await self.poll(0))["events"] == []

    async def poll(self, wait_seconds: float) -> dict[str, Any]:
        query = {"pattern": "news/*", "after": self.cursor, "wait": str(wait_seconds)}
        received = await self.http.get("/events/poll", params=query)
        assert received.status_code == 200, received.text
        answer: dict[str, Any] = received.json()
        assert answer["gap"] is None
        assert "control" not in answer
        assert answer["next"] >= self.cursor
        assert len(answer["events"]) <= SETTINGS.poll.max_events
        self.cursor = answer["next"]
        self.polls += 1
        return answer

    async def wait_for(self, count: int) -> None:
        while len(self.data) < count:
            await self.received_more.wait()


async def publish(http: httpx.AsyncClient, pollers: list[Poller]) -> list[str]:
    """Publish all bursts, each event behind one of another topic; return the ids."""
    ids: list[str] = []
    for count, at_once in BURSTS:
        end = len(ids) + count
        while len(ids) < end:
            numbers = range(len(ids), min(len(ids) + at_once, end))
            topics = [(topic, n) for n in numbers for topic in ("weather", f"news/{n % 3}")]
            answer = await http.post("/events", json=[{"topic": topic, "data": n} for topic, n in topics])
            assert answer.status_code == 201, answer.text
            ids += answer.json()["ids"][1::2]
        for poller in pollers:
            await poller.wait_for(end)
    return ids


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("wait_seconds", [0, 50])
async def test_polls_return_each_event_once_and_in_order(count: int, wait_seconds: float) -> None:
    with trio.fail_after(SECONDS):
        async with run_server(SETTINGS) as server:
            async with httpx.AsyncClient(base_url=server.url, timeout=SECONDS) as http:
                pollers = [Poller(http, wait_seconds) for _ in range(count)]
                async with trio.open_nursery() as nursery:
                    for poller in pollers:
                        nursery.start_soon(poller.run)
                    ids = await publish(http, pollers)
            assert server.streamd.connections.statistics()["by_transport"] == {}
    assert len(ids) == EVENTS
    for poller in pollers:
        assert poller.data == list(range(EVENTS))
        assert poller.ids == ids
        # At least one poll for each burst, and the last one.
        assert poller.polls > len(BURSTS)


async def test_late_pollers_catch_up_from_every_position() -> None:
    """Five sequences begin at different positions of one history, during which nothing is published."""
    with trio.fail_after(SECONDS):
        async with run_server(SETTINGS) as server:
            async with httpx.AsyncClient(base_url=server.url, timeout=SECONDS) as http:
                ids = [await server.streamd.publish(f"news/{n % 3}", n) for n in range(EVENTS)]
                for position in (0, 1, 24, 25, EVENTS - 1):
                    poller = Poller(http, 0, cursor=ids[position])
                    answers = [await poller.poll(0)]
                    while answers[-1]["events"]:
                        answers.append(await poller.poll(0))
                    received = [event["data"] for answer in answers for event in answer["events"]]
                    assert received == list(range(position + 1, EVENTS))
                    assert poller.cursor == ids[-1]


async def test_empty_polls_move_the_cursor_past_events_of_other_topics(streamd_server: RunningServer) -> None:
    with trio.fail_after(SECONDS):
        async with httpx.AsyncClient(base_url=streamd_server.url) as http:
            poller = Poller(http, 0)
            async with open_stream(streamd_server.url, topics=["weather"]) as reader:
                for number in range(100):
                    head = await streamd_server.streamd.publish("weather", number)
                    await reader.take(1)  # the fan-out has passed the event
                    answer = await poller.poll(0)
                    assert (answer["events"], answer["next"]) == ([], head)


async def test_heartbeats_do_not_end_a_waiting_poll() -> None:
    """A poll ignores heartbeats, and waits until there is an event."""
    settings = Settings(
        connections=ConnectionSettings(heartbeat_seconds=0.05, min_heartbeat_seconds=0.05, sweep_seconds=0.02)
    )
    with trio.fail_after(SECONDS):
        async with run_server(settings) as server:
            async with httpx.AsyncClient(base_url=server.url, timeout=SECONDS) as http:
                answers: list[dict[str, Any]] = []

                async def poll() -> None:
                    answers.append(await Poller(http, 50).poll(50))

                async with open_stream(server.url, topics=["a"]) as stream, trio.open_nursery() as nursery:
                    await stream.next_control("connected")
                    nursery.start_soon(poll)
                    while server.streamd.connections.statistics()["total"] < 2:
                        await trio.lowlevel.checkpoint()
                    for _ in range(5):  # of the stream; the poll is quiet for as long
                        await stream.next_control("heartbeat")
                    await server.streamd.publish("news/1", "at last")
    assert [event["data"] for event in answers[0]["events"]] == ["at last"]


async def test_a_poll_that_the_log_overtakes_reports_the_gap_at_once() -> None:
    """The hub, whose own position has expired as well, wakes its subscriptions with a heartbeat."""
    with trio.fail_after(SECONDS):
        async with run_server(Settings(log=LogSettings(max_events=5))) as server:
            async with httpx.AsyncClient(base_url=server.url, timeout=SECONDS) as http:
                answers: list[dict[str, Any]] = []

                async def poll() -> None:
                    query = {"pattern": "news/*", "wait": "50"}
                    answers.append((await http.get("/events/poll", params=query)).json())

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(poll)
                    while server.streamd.hub.statistics()["subscriptions"] < 1:
                        await trio.lowlevel.checkpoint()
                    published = [{"topic": "news/1", "data": number} for number in range(10)]
                    ids = (await http.post("/events", json=published)).json()["ids"]
    assert [event["id"] for event in answers[0]["events"]] == ids[5:]
    assert answers[0]["gap"]["resumed_after"] == ids[4]
    assert "control" not in answers[0]
