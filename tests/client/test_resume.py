"""Resuming after a lost connection: exactly once, from the cursor, with gaps reported."""

import pytest
from trio.testing import MockClock

from streamd.client import (
    Backoff,
    Connected,
    CursorMoved,
    Gap,
    ReceivedEvent,
    Reconnecting,
    subscribe,
)
from streamd.client.subscription import Transport
from tests.support.fake_streamd import START_MS, Cut, FakeStreamd, HangUp, cursor_of, respond_as
from tests.support.subscriptions import take, take_events

EXACT = Backoff(jitter=0)


@pytest.mark.parametrize("frames", range(6))
async def test_a_cut_off_frame_is_neither_lost_nor_repeated(
    clock: MockClock, server: FakeStreamd, transport: Transport, frames: int
) -> None:
    ids = [server.publish(f"{number}") for number in range(8)]
    server.script.extend([Cut(frames), Cut(frames), HangUp()])
    async with subscribe(
        server.url, topics=["t"], after="earliest", transport=transport, backoff=EXACT
    ) as subscription:
        events, others = await take_events(subscription, 8)
    assert [event.id for event in events] == ids
    assert len([item for item in others if isinstance(item, Reconnecting)]) >= 1


async def test_a_subscription_without_events_resumes_from_its_first_head(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    server.publish("before")
    async with subscribe(server.url, topics=["t"], transport=transport) as subscription:
        head = (await take(subscription, Connected)).head
        assert subscription.cursor == head == server.head
        await server.stop()
        between = server.publish("between")
        await take(subscription, Reconnecting)
        await server.start()
        assert (await take(subscription, ReceivedEvent)).id == between
    assert cursor_of(server.requests[-1]) in (head, between)


async def test_an_id_without_data_moves_the_cursor(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    async with subscribe(server.url, topics=["t"], transport=transport) as subscription:
        await take(subscription, Connected)
        moved = server.move_cursor()
        assert await take(subscription, CursorMoved) == CursorMoved(moved)
        assert subscription.cursor == moved
        before = len(server.requests)
        await server.stop()
        await server.start()
        assert cursor_of((await server.wait_for_requests(before + 1))[before]) == moved


async def test_events_at_or_behind_the_cursor_are_dropped(clock: MockClock, server: FakeStreamd) -> None:
    blocks = [f"id: {START_MS}-00000{n}\ndata: {n}\n\n".encode() for n in (1, 2, 1, 2, 3)]
    server.script.append(respond_as("text/event-stream", b"".join(blocks)))
    async with subscribe(server.url, topics=["t"], after="earliest") as subscription:
        events, _ = await take_events(subscription, 3)
        assert [event.data for event in events] == ["1", "2", "3"]
        await take(subscription, Connected)
    assert cursor_of(server.requests[-1]) == f"{START_MS}-000003"


async def test_a_server_with_a_new_log_is_followed_from_its_gap(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    server.publish("old")
    async with subscribe(server.url, topics=["t"], after="earliest", transport=transport) as subscription:
        old = await take(subscription, ReceivedEvent)
        await server.stop()
        # Its clock is behind: all its ids are smaller than the cursor, and are new all the same.
        server.forget(start_ms=START_MS - 60_000)
        head = server.head
        await server.start()
        assert await take(subscription, Gap) == Gap(old.id, head)
        new = server.publish("new")
        assert (await take(subscription, ReceivedEvent)).id == new < old.id


async def test_a_gap_is_reported(clock: MockClock, server: FakeStreamd, transport: Transport) -> None:
    first = server.publish("1")
    server.publish("2")
    server.drop_all()
    resumed_after = server.head
    third = server.publish("3")
    async with subscribe(server.url, topics=["t"], after=first, transport=transport) as subscription:
        assert await take(subscription, Gap) == Gap(first, resumed_after)
        assert (await take(subscription, ReceivedEvent)).id == third
