"""Client ids: the resume secret on reconnects, and messages to one client alone."""

import pytest
import trio
from trio.testing import MockClock

from streamd.client import ClosingNotice, Connected, ReceivedEvent, Reconnecting, subscribe
from streamd.client.subscription import Transport
from streamd.events import UnloggedEvent
from streamd.settings import Settings
from streamd.testing import run_server
from tests.support.fake_streamd import RESUME_SECRET, FakeStreamd
from tests.support.plain import NO_SERVICES
from tests.support.subscriptions import TRANSPORTS, take, take_events
from tests.support.waiting import until


async def test_a_reconnect_brings_the_secret_in_a_header_and_not_in_the_url(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    async with subscribe(server.url, topics=["t"], client_id="me", transport=transport) as subscription:
        await take(subscription, Connected)
        await server.stop()
        await take(subscription, Reconnecting)
        await server.start()
        await take(subscription, Connected)
    first, *_, last = server.requests
    assert first.query["client_id"] == last.query["client_id"] == ["me"]
    assert "resume-secret" not in first.headers
    assert last.headers["resume-secret"] == RESUME_SECRET
    assert all(RESUME_SECRET not in request.target for request in server.requests)


async def test_a_client_without_an_id_sends_no_secret(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    async with subscribe(server.url, topics=["t"], transport=transport) as subscription:
        await take(subscription, Connected)
        await server.stop()
        await take(subscription, Reconnecting)
        await server.start()
        await take(subscription, Connected)
    assert all("resume-secret" not in request.headers for request in server.requests)
    assert all("client_id" not in request.query for request in server.requests)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_messages_to_this_client_come_between_the_events_and_move_no_cursor(
    transport: Transport,
) -> None:
    with trio.fail_after(30):
        async with run_server(Settings(**NO_SERVICES)) as server:
            connections = server.streamd.connections
            async with subscribe(
                server.url, topics=["a"], client_id="me", transport=transport
            ) as subscription:
                await take(subscription, Connected)
                id = await server.streamd.publish("a", "an event")
                [event], _ = await take_events(subscription, 1)
                assert (event.id, event.data) == (id, "an event")
                await until(lambda: connections.statistics()["active"] == 1)  # the next poll
                connections.send("me", UnloggedEvent({"text": "hello"}, type="notice"))
                [message], _ = await take_events(subscription, 1)
                assert (message.id, message.type, message.data) == ("", "notice", '{"text":"hello"}')
                assert subscription.cursor == id
                await server.streamd.publish("a", "another event")
                [event], _ = await take_events(subscription, 1)
                assert event.data == "another event"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_closed_client_comes_back_and_a_replaced_one_does_not(transport: Transport) -> None:
    with trio.fail_after(30):
        async with run_server(Settings(**NO_SERVICES)) as server:
            connections = server.streamd.connections
            async with subscribe(
                server.url, topics=["a"], client_id="me", transport=transport
            ) as subscription:
                await take(subscription, Connected)
                await until(lambda: connections.statistics()["active"] == 1)
                connections.close("me")
                assert await take(subscription, ClosingNotice) == ClosingNotice("closed")
                await take(subscription, Connected)
                await until(lambda: connections.statistics()["active"] == 1)
                connections.close("me", reason="replaced")
                assert await take(subscription, ClosingNotice) == ClosingNotice("replaced")
                assert [item async for item in subscription if isinstance(item, ReceivedEvent)] == []
