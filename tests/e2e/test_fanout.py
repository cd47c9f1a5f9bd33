"""Many clients at once, some of them coming and going."""

import httpx
import trio

from streamd.testing import open_stream
from tests.e2e.server_process import server_process

CLIENTS = 1000
VISITORS = 20
EVENTS = 200


async def test_everyone_who_stays_has_each_event_once_and_in_order() -> None:
    expected = [str(number) for number in range(EVENTS)]
    async with server_process() as server, httpx.AsyncClient(timeout=60) as http:
        arrived = Countdown(CLIENTS)
        finished = 0

        async def stay() -> None:
            nonlocal finished
            async with open_stream(server.url, topics=["news"]) as reader:
                await reader.next_control("connected")
                arrived.one()
                assert [event.data for event in await reader.take(EVENTS)] == expected
                finished += 1

        async def come_and_go() -> None:
            while True:
                async with open_stream(server.url, topics=["news"]) as reader:
                    first = await reader.next_event()
                    second = await reader.next_event()
                    assert first is not None
                    assert second is not None
                    assert int(second.data) == int(first.data) + 1

        with trio.fail_after(100):
            async with trio.open_nursery() as visitors:
                async with trio.open_nursery() as clients:
                    for _ in range(CLIENTS):
                        clients.start_soon(stay)
                    await arrived.wait()
                    for _ in range(VISITORS):
                        visitors.start_soon(come_and_go)
                    for data in expected:
                        answer = await http.post(f"{server.url}/events", json={"topic": "news", "data": data})
                        assert answer.status_code == 201
                visitors.cancel_scope.cancel()
        assert finished == CLIENTS


class Countdown:
    """Waits until something has happened so many times."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._done = trio.Event()

    def one(self) -> None:
        self._count -= 1
        if not self._count:
            self._done.set()

    async def wait(self) -> None:
        await self._done.wait()
