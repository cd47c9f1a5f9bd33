"""Following events over each transport: resume, waits, ends. The same story for all of them."""

from typing import TypeVar, cast

import msgspec
import pytest
import trio
from trio.testing import MockClock

from streamd.client import (
    Backoff,
    Connected,
    CursorMoved,
    EventSubscription,
    Gap,
    Item,
    ProtocolError,
    ReceivedEvent,
    Reconnecting,
    RequestFailed,
    Timeouts,
    subscribe,
)
from streamd.client.subscription import Transport
from streamd.errors import InvalidField
from streamd.events import EventId
from tests.support.fake_server import fake_server, hang
from tests.support.fake_streamd import (
    START_MS,
    CloseWith,
    Cut,
    FakeStreamd,
    Fault,
    HangUp,
    Silent,
    cursor_of,
    refuse,
    respond_as,
)

TRANSPORTS = cast(tuple[Transport, ...], ("sse", "websocket", "poll"))
STREAMS = cast(tuple[Transport, ...], ("sse", "websocket"))
EXACT = Backoff(jitter=0)
T = TypeVar("T")


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> Transport:
    return cast(Transport, request.param)


async def take(subscription: EventSubscription, kind: type[T]) -> T:
    """The next item of a kind; what comes before it is passed over."""
    async for item in subscription:
        if isinstance(item, kind):
            return item
    raise AssertionError(f"the stream ended without {kind}")


async def take_events(subscription: EventSubscription, count: int) -> tuple[list[ReceivedEvent], list[Item]]:
    """So many events, and everything else that came before the last of them."""
    events: list[ReceivedEvent] = []
    others: list[Item] = []
    while len(events) < count:
        item = await anext(subscription)
        if isinstance(item, ReceivedEvent):
            events.append(item)
        else:
            others.append(item)
    return events, others


async def test_events_come_in_order_and_look_the_same_over_every_transport(
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
    server.publish(msgspec.Raw(b"[1.10, 1e400, 12345678901234567890123]"))
    async with subscribe(server.url, topics=["t"], after="earliest", transport=transport) as subscription:
        event = await take(subscription, ReceivedEvent)
    assert event.data == "[1.10,1e400,12345678901234567890123]"


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


@pytest.mark.parametrize("frames", range(6))
async def test_a_cut_in_the_middle_of_a_frame_loses_and_repeats_nothing(
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


async def test_without_any_event_it_resumes_from_the_first_head(
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


async def test_a_server_that_starts_anew_is_followed_from_its_gap_on(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    server.publish("old")
    async with subscribe(server.url, topics=["t"], after="earliest", transport=transport) as subscription:
        old = await take(subscription, ReceivedEvent)
        await server.stop()
        # Its clock is behind: all its ids are before our cursor, and are news all the same.
        server.forget(start_ms=START_MS - 60_000)
        head = server.head
        await server.start()
        assert await take(subscription, Gap) == Gap(old.id, head)
        new = server.publish("new")
        assert (await take(subscription, ReceivedEvent)).id == new < old.id


async def test_a_gap_is_told(clock: MockClock, server: FakeStreamd, transport: Transport) -> None:
    first = server.publish("1")
    server.publish("2")
    server.drop_all()
    resumed_after = server.head
    third = server.publish("3")
    async with subscribe(server.url, topics=["t"], after=first, transport=transport) as subscription:
        assert await take(subscription, Gap) == Gap(first, resumed_after)
        assert (await take(subscription, ReceivedEvent)).id == third


async def test_retry_after_is_waited_for(clock: MockClock, server: FakeStreamd, transport: Transport) -> None:
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


async def test_waits_double_up_to_their_bound_and_begin_anew_after_progress(
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
async def test_the_servers_reconnection_time_is_kept_to(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    server.retry_ms = 4500
    async with subscribe(server.url, topics=["t"], transport=transport, backoff=EXACT) as subscription:
        await take(subscription, Connected)
        await server.stop()
        assert (await take(subscription, Reconnecting)).delay_seconds == 4.5


async def test_204_is_the_end(clock: MockClock, server: FakeStreamd, transport: Transport) -> None:
    server.script.append(refuse(204))
    async with subscribe(server.url, topics=["t"], transport=transport) as subscription:
        assert [item async for item in subscription] == []
        assert await subscription.receive_some() == []


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_a_refusal_ends_with_what_the_server_says(
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


@pytest.mark.parametrize("code", [1007, 1008, 1009])
async def test_a_websocket_closed_because_of_us_is_a_refusal(
    clock: MockClock, server: FakeStreamd, code: int
) -> None:
    server.script.append(CloseWith(code, "no such topic"))
    async with subscribe(server.url, topics=["t"], transport="websocket") as subscription:
        with pytest.raises(RequestFailed, match=f"no such topic .*websocket-{code}"):
            await anext(subscription)


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1013])
async def test_any_other_close_is_no_reason_to_stay_away(
    clock: MockClock, server: FakeStreamd, code: int
) -> None:
    server.script.append(CloseWith(code, ""))
    async with subscribe(server.url, topics=["t"], transport="websocket") as subscription:
        assert isinstance(await anext(subscription), Reconnecting)
        assert isinstance(await anext(subscription), Connected)


async def test_a_failing_server_is_tried_again(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    server.publish("1")
    server.script.extend([refuse(500), refuse(502)])
    async with subscribe(server.url, topics=["t"], after="earliest", transport=transport) as subscription:
        assert (await take(subscription, ReceivedEvent)).data == "1"


@pytest.mark.parametrize("transport", STREAMS, indirect=True)
async def test_silence_of_two_and_a_half_heartbeats_is_death(
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
async def test_heartbeats_keep_a_quiet_connection(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    server.heartbeat_seconds = 20
    async with subscribe(server.url, topics=["t"], transport=transport) as subscription:
        await take(subscription, Connected)
        await server.until(lambda: server.heartbeats == 10)
        server.publish("1")
        assert isinstance(await anext(subscription), ReceivedEvent)
    assert len(server.requests) == 1


async def test_a_poll_waits_and_is_repeated(clock: MockClock, server: FakeStreamd) -> None:
    async with subscribe(server.url, topics=["t"], transport="poll") as subscription:
        await take(subscription, Connected)
        await server.wait_for_requests(6)  # the first, which only asks where the log ends, and empty ones
        server.publish("1")
        assert isinstance(await anext(subscription), ReceivedEvent)
    assert [request.query["wait"] for request in server.requests[:3]] == [["0"], ["25"], ["25"]]


async def test_a_poll_answered_early_with_nothing_is_no_busy_loop(
    clock: MockClock, server: FakeStreamd
) -> None:
    empty = respond_as("application/json", b'{"events":[],"next":"1700000000000-000000","gap":null}')
    server.script.extend([empty] * 50)
    started = trio.current_time()
    async with subscribe(server.url, topics=["t"], transport="poll") as subscription:
        await take(subscription, Connected)
        await server.wait_for_requests(50)
    assert trio.current_time() - started > 20


async def test_what_the_cursor_has_passed_is_dropped(clock: MockClock, server: FakeStreamd) -> None:
    blocks = [f"id: {START_MS}-00000{n}\ndata: {n}\n\n".encode() for n in (1, 2, 1, 2, 3)]
    server.script.append(respond_as("text/event-stream", b"".join(blocks)))
    async with subscribe(server.url, topics=["t"], after="earliest") as subscription:
        events, _ = await take_events(subscription, 3)
        assert [event.data for event in events] == ["1", "2", "3"]
        await take(subscription, Connected)
    assert cursor_of(server.requests[-1]) == f"{START_MS}-000003"


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
async def test_what_is_not_streamd_ends_it(
    clock: MockClock, server: FakeStreamd, transport: Transport, answer: Fault
) -> None:
    server.script.append(answer)
    async with subscribe(server.url, topics=["t"], transport=transport) as subscription:
        with pytest.raises(ProtocolError):
            await anext(subscription)


async def test_a_client_that_was_replaced_does_not_come_back(clock: MockClock, server: FakeStreamd) -> None:
    closing = b'event: connected\ndata: {}\n\nevent: closing\ndata: {"reason":"replaced"}\nretry: 5\n\n'
    server.script.append(respond_as("text/event-stream", closing))
    async with subscribe(server.url, topics=["t"]) as subscription:
        items = [type(item).__name__ async for item in subscription]
    assert items == ["Connected", "ClosingNotice"]
    assert len(server.requests) == 1


async def test_a_server_that_is_not_there_is_waited_for(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    await server.stop()
    async with subscribe(server.url, topics=["t"], transport=transport, after="earliest") as subscription:
        await take(subscription, Reconnecting)
        server.publish("1")
        await server.start()
        assert (await take(subscription, ReceivedEvent)).data == "1"


async def test_a_server_that_does_not_answer_is_given_up(clock: MockClock, transport: Transport) -> None:
    async with fake_server(hang) as silent:
        async with subscribe(
            silent.url, topics=["t"], transport=transport, timeouts=Timeouts(connect_seconds=12)
        ) as subscription:
            assert "no answer within 12 s" in (await take(subscription, Reconnecting)).reason


async def test_a_slow_iterator_holds_the_connection_back_and_loses_nothing(
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


async def test_errors_of_the_block_come_out_as_they_are(
    clock: MockClock, server: FakeStreamd, transport: Transport
) -> None:
    with pytest.raises(KeyError):
        async with subscribe(server.url, topics=["t"], transport=transport) as subscription:
            await take(subscription, Connected)
            raise KeyError("mine")


async def test_after_the_block_it_is_closed(clock: MockClock, server: FakeStreamd) -> None:
    async with subscribe(server.url, topics=["t"]) as subscription:
        await take(subscription, Connected)
    with pytest.raises(trio.ClosedResourceError):
        await anext(subscription)


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
async def test_what_cannot_be_is_refused_before_anything_is_sent(
    clock: MockClock, server: FakeStreamd, arguments: dict[str, str]
) -> None:
    with pytest.raises(InvalidField):
        async with subscribe(**{"url": server.url, "topics": ["t"], **arguments}):  # type: ignore[arg-type]
            raise AssertionError("not reached")
    assert server.requests == []


def test_ids_of_the_fake_are_ids() -> None:
    assert EventId(f"{START_MS}-000000") < EventId(f"{START_MS}-000001")
