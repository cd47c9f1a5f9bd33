"""Reconnecting: which failures are retried, after which wait, and which end the subscription."""

import pytest
import trio
from trio.testing import MockClock

from streamd.client import (
    Backoff,
    Connected,
    ProtocolError,
    ReceivedEvent,
    Reconnecting,
    RequestFailed,
    Timeouts,
    subscribe,
)
from streamd.client.subscription import Transport
from tests.support.fake_server import fake_server, hang
from tests.support.fake_streamd import CloseWith, FakeStreamd, Fault, HangUp, Silent, refuse, respond_as
from tests.support.subscriptions import STREAMS, take, take_events

EXACT = Backoff(jitter=0)


async def test_retry_after_is_the_minimum_wait(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    server.publish("1")
    server.script.extend([refuse(503, {"retry-after": "120"}), refuse(429, {"retry-after": "7"})])
    started = trio.current_time()
    async with subscribe(
        server.url, topics=["t"], after="earliest", transport=transport, backoff=EXACT
    ) as subscription:
        _, others = await take_events(subscription, 1)
    delays = [item.delay_seconds for item in others if isinstance(item, Reconnecting)]
    assert delays == [120, 7]
    assert trio.current_time() - started == pytest.approx(127, abs=0.5)


async def test_waits_double_up_to_the_maximum_and_restart_after_progress(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    server.script.extend([HangUp()] * 5)
    backoff = Backoff(initial_seconds=1, max_seconds=8, jitter=0)
    async with subscribe(server.url, topics=["t"], transport=transport, backoff=backoff) as subscription:
        delays = [(await take(subscription, Reconnecting)).delay_seconds for _ in range(5)]
        assert delays == [1, 2, 4, 8, 8]
        await take(subscription, Connected)
        server.publish("1")
        await take(subscription, ReceivedEvent)
        await server.stop()
        assert (await take(subscription, Reconnecting)).delay_seconds == 1


@pytest.mark.parametrize("transport", STREAMS, indirect=True)
async def test_the_servers_reconnection_time_is_the_first_wait(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    server.retry_ms = 4500
    async with subscribe(server.url, topics=["t"], transport=transport, backoff=EXACT) as subscription:
        await take(subscription, Connected)
        await server.stop()
        assert (await take(subscription, Reconnecting)).delay_seconds == 4.5


async def test_5xx_is_retried(clock: MockClock, server: FakeStreamd, transport: Transport) -> None:
    server.publish("1")
    server.script.extend([refuse(500), refuse(502)])
    async with subscribe(server.url, topics=["t"], after="earliest", transport=transport) as subscription:
        assert (await take(subscription, ReceivedEvent)).data == "1"


async def test_an_absent_server_is_retried_until_it_starts(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    await server.stop()
    async with subscribe(server.url, topics=["t"], transport=transport, after="earliest") as subscription:
        await take(subscription, Reconnecting)
        server.publish("1")
        await server.start()
        assert (await take(subscription, ReceivedEvent)).data == "1"


async def test_a_server_that_does_not_answer_is_a_timeout(clock: MockClock, transport: Transport) -> None:
    async with fake_server(hang) as silent:
        async with subscribe(
            silent.url, topics=["t"], transport=transport, timeouts=Timeouts(connect_seconds=12)
        ) as subscription:
            assert "no answer within 12 s" in (await take(subscription, Reconnecting)).reason


@pytest.mark.parametrize("transport", STREAMS, indirect=True)
async def test_silence_of_two_and_a_half_heartbeats_ends_the_connection(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    server.publish("1")
    server.heartbeat_seconds = 20
    server.script.append(Silent())
    async with subscribe(
        server.url, topics=["t"], after="earliest", transport=transport, backoff=EXACT
    ) as subscription:
        started = trio.current_time()
        reconnecting = await take(subscription, Reconnecting)
        assert trio.current_time() - started == pytest.approx(50, abs=0.5)
        assert "silent for 50 s" in reconnecting.reason
        assert (await take(subscription, ReceivedEvent)).data == "1"


@pytest.mark.parametrize("transport", STREAMS, indirect=True)
async def test_heartbeats_keep_a_quiet_connection_open(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    server.heartbeat_seconds = 20
    async with subscribe(server.url, topics=["t"], transport=transport) as subscription:
        await take(subscription, Connected)
        await server.until(lambda: server.heartbeats == 10)
        server.publish("1")
        assert isinstance(await anext(subscription), ReceivedEvent)
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1013])
async def test_every_other_websocket_close_is_retried(
    clock: MockClock, server: FakeStreamd, code: int
) -> None:
    server.script.append(CloseWith(code, ""))
    async with subscribe(server.url, topics=["t"], transport="websocket") as subscription:
        assert isinstance(await anext(subscription), Reconnecting)
        assert isinstance(await anext(subscription), Connected)


@pytest.mark.parametrize("code", [1007, 1008, 1009])
async def test_a_websocket_close_for_an_invalid_subscription_is_final(
    clock: MockClock, server: FakeStreamd, code: int
) -> None:
    server.script.append(CloseWith(code, "no such topic"))
    async with subscribe(server.url, topics=["t"], transport="websocket") as subscription:
        with pytest.raises(RequestFailed, match=f"no such topic .*websocket-{code}"):
            await anext(subscription)


async def test_204_ends_the_iteration(clock: MockClock, server: FakeStreamd, transport: Transport) -> None:
    server.script.append(refuse(204))
    async with subscribe(server.url, topics=["t"], transport=transport) as subscription:
        assert [item async for item in subscription] == []
        assert await subscription.receive_some() == []


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_4xx_is_final_and_raises_the_problem(
    clock: MockClock, server: FakeStreamd, transport: Transport, status: int
) -> None:
    problem = {"status": status, "code": "invalid-field", "detail": "no such topic", "field": "topic"}
    server.script.append(refuse(status, problem=problem))
    async with subscribe(server.url, topics=["t"], transport=transport) as subscription:
        with pytest.raises(RequestFailed) as caught:
            await anext(subscription)
    assert caught.value.problem.status == status
    assert caught.value.problem.code == "invalid-field"
    assert (caught.value.detail, caught.value.field) == ("no such topic", "topic")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("transport", "answer"),
    [
        ("sse", respond_as("text/html", b"<p>Welcome")),
        ("sse", respond_as("text/event-stream", b"event: gap\ndata: no\n\n")),
        ("poll", respond_as("application/json", b'{"items":[]}')),
        ("poll", respond_as("text/html", b"<p>Welcome")),
        ("sse", refuse(302, {"location": "/login"})),
        ("websocket", refuse(200)),
    ],
)
async def test_an_answer_of_another_protocol_is_final(
    clock: MockClock, server: FakeStreamd, transport: Transport, answer: Fault
) -> None:
    server.script.append(answer)
    async with subscribe(server.url, topics=["t"], transport=transport) as subscription:
        with pytest.raises(ProtocolError):
            await anext(subscription)


async def test_a_replaced_client_does_not_reconnect(clock: MockClock, server: FakeStreamd) -> None:
    closing = b'event: connected\ndata: {}\n\nevent: closing\ndata: {"reason":"replaced"}\nretry: 5\n\n'
    server.script.append(respond_as("text/event-stream", closing))
    async with subscribe(server.url, topics=["t"]) as subscription:
        items = [type(item).__name__ async for item in subscription]
    assert items == ["Connected", "ClosingNotice"]
    assert len(server.requests) == 1
