"""Subscriptions over each transport: events, options, cancellation and the end of the block."""

from base64 import b64encode

import msgspec
import pytest
import trio
from trio.testing import MockClock

from streamd.client import Connected, ReceivedEvent, Reconnecting, subscribe
from streamd.client.subscription import Transport
from streamd.errors import InvalidField
from streamd.events import EventId
from tests.support.fake_streamd import START_MS, FakeStreamd
from tests.support.subscriptions import take, take_events


async def test_events_arrive_in_order_and_are_equal_over_every_transport(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    async with subscribe(server.url, topics=["t"], transport=transport) as subscription:
        connected = await take(subscription, Connected)
        assert connected.head == server.head
        first = server.publish("two\nlines", topics=("t", "also/t"), type="note")
        second = server.publish({"sum": 1.50, "big": 12345678901234567890123})
        server.publish("for others", topics=("else",))
        third = server.publish("")
        events, others = await take_events(subscription, 3)
    assert [(e.id, e.type, e.data) for e in events] == [
        (first, "note", "two\nlines"),
        (second, "message", server.events[1].data),
        (third, "message", ""),
    ]
    assert events[0].topics == (None if transport == "sse" else ("t", "also/t"))
    assert not [item for item in others if isinstance(item, Reconnecting)]


async def test_numbers_keep_their_digits(clock: MockClock, server: FakeStreamd, transport: Transport) -> None:
    server.publish(msgspec.Raw(b"[1.10, 1E+2, 12345678901234567890123]"))
    async with subscribe(server.url, topics=["t"], after="earliest", transport=transport) as subscription:
        event = await take(subscription, ReceivedEvent)
    assert event.data == "[1.10,1E+2,12345678901234567890123]"


async def test_bytes_arrive_as_bytes(clock: MockClock, server: FakeStreamd, transport: Transport) -> None:
    data = bytes(range(256))
    for published in (data, b64encode(data).decode(), b""):
        server.publish(published)
    async with subscribe(server.url, topics=["t"], after="earliest", transport=transport) as subscription:
        events, _ = await take_events(subscription, 3)
    assert [event.data for event in events] == [data, b64encode(data).decode(), b""]


async def test_patterns_and_options_reach_the_server(clock: MockClock, server: FakeStreamd) -> None:
    async with subscribe(
        server.url + "/", topics=["a b", "t"], patterns=["x/**"], overflow="latest", heartbeat_seconds=7
    ) as subscription:
        await take(subscription, Connected)
    assert server.requests[0].path == "/events"
    assert server.requests[0].query == {
        "topic": ["a b", "t"],
        "pattern": ["x/**"],
        "overflow": ["latest"],
        "heartbeat": ["7"],
    }


@pytest.mark.parametrize(
    "arguments",
    [
        {"url": "127.0.0.1:8080"},
        {"url": "ftp://127.0.0.1"},
        {"after": "yesterday"},
        {"transport": "pigeon"},
        {"transport": "poll", "overflow": "latest"},
    ],
)
async def test_invalid_arguments_are_rejected_before_a_request(
    clock: MockClock, server: FakeStreamd, arguments: dict[str, str]
) -> None:
    with pytest.raises(InvalidField):
        async with subscribe(**{"url": server.url, "topics": ["t"], **arguments}):  # type: ignore[arg-type]
            raise AssertionError("not reached")
    assert server.requests == []


async def test_a_slow_iterator_is_back_pressure_and_loses_nothing(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    ids = [server.publish("x" * 2000) for _ in range(3000)]
    async with subscribe(server.url, topics=["t"], after="earliest", transport=transport) as subscription:
        await trio.sleep(600)
        events, others = await take_events(subscription, 3000)
        assert [event.id for event in events] == ids
        assert not [item for item in others if isinstance(item, Reconnecting)]


async def test_cancelling_a_wait_loses_nothing(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    async with subscribe(server.url, topics=["t"], transport=transport) as subscription:
        await take(subscription, Connected)
        with trio.move_on_after(1) as scope:
            await take(subscription, ReceivedEvent)
        assert scope.cancelled_caught
        event_id = server.publish("1")
        assert (await take(subscription, ReceivedEvent)).id == event_id


async def test_an_error_of_the_block_is_raised_without_a_group(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    with pytest.raises(KeyError):
        async with subscribe(server.url, topics=["t"], transport=transport) as subscription:
            await take(subscription, Connected)
            raise KeyError("mine")


async def test_a_subscription_is_closed_after_its_block(clock: MockClock, server: FakeStreamd) -> None:
    async with subscribe(server.url, topics=["t"]) as subscription:
        await take(subscription, Connected)
    with pytest.raises(trio.ClosedResourceError):
        await anext(subscription)


def test_ids_of_the_fake_server_are_event_ids() -> None:
    assert EventId(f"{START_MS}-000000") < EventId(f"{START_MS}-000001")
