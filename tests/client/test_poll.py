"""Long polling: how often the server is asked."""

import trio
from trio.testing import MockClock

from streamd.client import Connected, ReceivedEvent, subscribe
from tests.support.fake_streamd import FakeStreamd, respond_as
from tests.support.subscriptions import take


async def test_polls_wait_on_the_server_and_are_repeated(clock: MockClock, server: FakeStreamd) -> None:
    async with subscribe(server.url, topics=["t"], transport="poll") as subscription:
        await take(subscription, Connected)
        await server.wait_for_requests(6)  # the first asks for the head; the others wait in vain
        server.publish("1")
        assert isinstance(await anext(subscription), ReceivedEvent)
    assert [request.query["wait"] for request in server.requests[:3]] == [["0"], ["25"], ["25"]]


async def test_early_empty_answers_are_no_busy_loop(clock: MockClock, server: FakeStreamd) -> None:
    empty = respond_as("application/json", b'{"events":[],"next":"1700000000000-000000","gap":null}')
    server.script.extend([empty] * 50)
    started = trio.current_time()
    async with subscribe(server.url, topics=["t"], transport="poll") as subscription:
        await take(subscription, Connected)
        await server.wait_for_requests(50)
    assert trio.current_time() - started > 20
