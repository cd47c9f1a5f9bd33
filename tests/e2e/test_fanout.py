"""Fan-out to many clients, some of which connect and leave meanwhile."""

import httpx
import pytest
import trio

from streamd.testing import open_stream
from tests.support.server_process import server_process

CLIENTS = 1000
VISITORS = 20
EVENTS = 200
PUBLISHERS = 8  # concurrent, each in its own order


@pytest.mark.soak
async def test_each_client_receives_each_event_once_and_in_order() -> None:
    published: dict[str, str] = {}  # data by id
    seen: list[list[tuple[str, str]]] = []
    async with server_process(seconds=110) as server, httpx.AsyncClient(timeout=60) as http:
        arrived = Countdown(CLIENTS)

        async def stay() -> None:
            async with open_stream(server.url, topics=["news"]) as reader:
                await reader.next_control("connected")
                arrived.one()
                events = []
                for _ in range(EVENTS):
                    event = await reader.next_event()
                    assert event is not None
                    events.append((event.last_event_id, event.data))
                seen.append(events)

        async def come_and_go() -> None:
            while True:
                async with open_stream(server.url, topics=["news"]) as reader:
                    first, second = await reader.next_event(), await reader.next_event()
                    assert first is not None
                    assert second is not None
                    assert first.last_event_id < second.last_event_id

        async def publish(numbers: range) -> None:
            for number in numbers:
                body = {"topic": "news", "data": str(number)}
                answer = await http.post(f"{server.url}/events", json=body)
                assert answer.status_code == 201
                published[answer.json()["id"]] = str(number)

        with trio.fail_after(100):
            async with trio.open_nursery() as visitors:
                async with trio.open_nursery() as clients:
                    for _ in range(CLIENTS):
                        clients.start_soon(stay)
                    await arrived.wait()
                    for _ in range(VISITORS):
                        visitors.start_soon(come_and_go)
                    for first in range(PUBLISHERS):
                        clients.start_soon(publish, range(first, EVENTS, PUBLISHERS))
                visitors.cancel_scope.cancel()
    assert sorted(published.values(), key=int) == [str(number) for number in range(EVENTS)]
    assert len(seen) == CLIENTS
    assert all(events == sorted(published.items()) for events in seen)


class Countdown:
    """An event that is set after a number of calls."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._done = trio.Event()

    def one(self) -> None:
        self._count -= 1
        if not self._count:
            self._done.set()

    async def wait(self) -> None:
        await self._done.wait()
