"""Long sequences of polls, each from the cursor of the one before, while publishing goes on."""

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

# Each once the one before was received: how many events, and how many of them in one request.
BURSTS = ((1, 1), (40, 40), (30, 1), (150, 150), (60, 7), (1, 1), (100, 3), (18, 18), (1, 1))
EVENTS = sum(count for count, _ in BURSTS)
SECONDS = 100
# Less than what comes in one request, so that an answer cannot bring all there is.
SETTINGS = Settings(poll=PollSettings(max_events=25))


@attrs.define
class Poller:
    """Follows ``news/*`` and keeps what it got."""

    http: httpx.AsyncClient
    wait_seconds: float
    cursor: str = str(EARLIEST)
    polls: int = 0
    ids: list[str] = attrs.field(factory=list)
    data: list[Any] = attrs.field(factory=list)
    got_more: trio.Event = attrs.field(factory=trio.Event)

    async def run(self) -> None:
        """Poll until everything has come, and once more to see that nothing follows."""
        while len(self.data) < EVENTS:
            answer = await self.poll(self.wait_seconds)
            if answer["events"]:
                assert answer["next"] == answer["events"][-1]["id"]
                self.ids += [event["id"] for event in answer["events"]]
                self.data += [event["data"] for event in answer["events"]]
                self.got_more.set()
                self.got_more = trio.Event()
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

    async def has(self, count: int) -> None:
        while len(self.data) < count:
            await self.got_more.wait()


async def publish(http: httpx.AsyncClient, pollers: list[Poller]) -> list[str]:
    """Burst after burst, every event behind one for others; returns the ids."""
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
            await poller.has(end)
    return ids


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("wait_seconds", [0, 50])
async def test_polls_bring_each_event_once_and_in_order(count: int, wait_seconds: float) -> None:
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
        # Each burst took one poll at least, and the last look was one more.
        assert poller.polls > len(BURSTS)


async def test_pollers_that_come_late_read_their_way_up_from_every_place() -> None:
    """Five sequences begin at different places of one history, with nothing published meanwhile."""
    with trio.fail_after(SECONDS):
        async with run_server(SETTINGS) as server:
            async with httpx.AsyncClient(base_url=server.url, timeout=SECONDS) as http:
                ids = [await server.streamd.publish(f"news/{n % 3}", n) for n in range(EVENTS)]
                for place in (0, 1, 24, 25, EVENTS - 1):
                    poller = Poller(http, 0, cursor=ids[place])
                    answers = [await poller.poll(0)]
                    while answers[-1]["events"]:
                        answers.append(await poller.poll(0))
                    got = [event["data"] for answer in answers for event in answer["events"]]
                    assert got == list(range(place + 1, EVENTS))
                    assert poller.cursor == ids[-1]


async def test_empty_polls_move_the_cursor_past_what_is_for_others(streamd_server: RunningServer) -> None:
    with trio.fail_after(SECONDS):
        async with httpx.AsyncClient(base_url=streamd_server.url) as http:
            poller = Poller(http, 0)
            async with open_stream(streamd_server.url, topics=["weather"]) as reader:
                for number in range(100):
                    head = await streamd_server.streamd.publish("weather", number)
                    await reader.take(1)  # shows that the fan-out has passed it
                    answer = await poller.poll(0)
                    assert (answer["events"], answer["next"]) == ([], head)


async def test_a_poll_that_waits_outlasts_heartbeats() -> None:
    """A poll has no use for heartbeats: it goes on waiting until there is an event."""
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
                    for _ in range(5):  # the stream's; the poll was quiet for as long
                        await stream.next_control("heartbeat")
                    await server.streamd.publish("news/1", "at last")
    assert [event["data"] for event in answers[0]["events"]] == ["at last"]


async def test_a_poll_that_the_log_overtakes_says_what_was_lost_at_once() -> None:
    """The hub, whose own place in the log is gone as well, wakes its subscriptions with a heartbeat."""
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
