"""The fan-out: shared batches, the cursor, deferred actions, and the accounts of delivered events."""

from collections.abc import Sequence

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from streamd.events import EARLIEST, Batch, Event, Frame, Pattern, Selectors
from tests.support.fan_out import RecordingWire, fan_out

ALL = Selectors(patterns=[Pattern("**")])


def topics(*names: str) -> Selectors:
    return Selectors(topics=names)


def data_of(frames: Sequence[Frame]) -> list[str]:
    return [frame.data for frame in frames if isinstance(frame, Event)]


# --- batches --------------------------------------------------------------------------------------


async def test_subscriptions_to_the_same_topics_share_one_batch() -> None:
    async with fan_out() as out:
        same = [out.follow(topics("a", "b"))[1] for _ in range(100)]
        alone = out.follow(topics("a"))[1]
        await out.publish(("a", "1"), ("b", "2"), ("a", "3"))
        await out.turn()
        await out.publish(("a", "4"))  # one topic only
        await out.turn()
        assert same[0].data == [["1", "2", "3"], ["4"]]
        for wire in same:
            assert [id(batch) for batch in wire.batches] == [id(batch) for batch in same[0].batches]
        assert alone.data == [["1", "3"], ["4"]]
        assert alone.batches[1] is same[0].batches[1]


async def test_different_selectors_that_match_the_same_events_share_one_batch() -> None:
    async with fan_out() as out:
        wires = [
            out.follow(selectors)[1]
            for selectors in (topics("a/1", "a/2"), Selectors(patterns=[Pattern("a/*")]), ALL)
        ]
        await out.publish(("a/1", "1"), ("a/2", "2"))
        await out.turn()
        assert wires[0].data == [["1", "2"]]
        assert len({id(wire.batches[0]) for wire in wires}) == 1


async def test_the_events_of_one_page_are_one_batch_in_log_order() -> None:
    async with fan_out() as out:
        both, other = out.follow(topics("a", "b"))[1], out.follow(topics("b", "c"))[1]
        published = await out.publish(("b", "1"), ("c", "2"), ("a", "3"), ("b", "4"), ("d", "5"), ("a", "6"))
        await out.turn()
        assert both.data == [["1", "3", "4", "6"]]
        assert other.data == [["1", "2", "4"]]
        assert [event.id for event in both.batches[0].events] == [published[i] for i in (0, 2, 3, 5)]


async def test_overlapping_selectors_of_a_subscription_deliver_an_event_once() -> None:
    overlapping = Selectors(topics=["a/1", "a/2"], patterns=[Pattern("a/*"), Pattern("a/**"), Pattern("**")])
    async with fan_out() as out:
        wire = out.follow(overlapping)[1]
        await out.publish((["a/1", "a/2", "b"], "1"))
        await out.turn()
        await out.publish(("a/1", "2"), (["a/2", "a/1"], "3"), ("b", "4"), (["a/1", "a/2", "b"], "5"))
        await out.turn()
        assert wire.data == [["1"], ["2", "3", "4", "5"]]


NAMES = ("a/1", "a/2", "b", "b/1/x")
SELECTORS = (*NAMES, "a/*", "**", "b/**", "*/1", "*/1/*")


@hypothesis_settings(max_examples=60)
@given(
    wanted=st.lists(st.sets(st.sampled_from(SELECTORS), min_size=1), min_size=1, max_size=5),
    turns=st.lists(
        st.lists(
            st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True), min_size=1, max_size=8
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_a_subscription_gets_the_matching_events_of_a_page_in_one_batch(
    wanted: list[set[str]], turns: list[list[list[str]]]
) -> None:
    async def main() -> None:
        async with fan_out() as out:
            selected = [
                Selectors(
                    topics=[text for text in texts if "*" not in text],
                    patterns=[Pattern(text) for text in texts if "*" in text],
                )
                for texts in wanted
            ]
            wires = [out.follow(selectors)[1] for selectors in selected]
            for number, turn in enumerate(turns):
                await out.publish(*((names, f"{number}.{n}") for n, names in enumerate(turn)))
                await out.turn()
            for selectors, wire in zip(selected, wires, strict=True):
                expected = [
                    [f"{number}.{n}" for n, names in enumerate(turn) if selectors.matches(names)]
                    for number, turn in enumerate(turns)
                ]
                assert wire.data == [batch for batch in expected if batch]

    trio.run(main)


# --- the cursor -----------------------------------------------------------------------------------


async def test_events_at_or_before_the_cursor_are_dropped() -> None:
    async with fan_out() as out:
        ids = await out.publish(*[("a", str(n)) for n in range(4)])
        level, ahead = out.follow(topics("a"), after=ids[3])[1], out.follow(topics("a"), after=ids[1])[1]
        await out.turn()
        assert ahead.data == [["2", "3"]]
        assert level.data == []


async def test_an_event_that_is_offered_twice_is_taken_once() -> None:
    async with fan_out() as out:
        subscription, wire, sent = out.follow(topics("a"))
        await out.publish(("a", "1"), ("a", "2"))
        page = await out.hub.log.read(ALL, EARLIEST, max_events=10, max_bytes=1000)
        whole, first = Batch(page.events), Batch(page.events[:1])
        assert subscription.offer(first)
        assert not subscription.offer(first)
        assert subscription.offer(whole)
        assert not subscription.offer(whole)
        await out.turn()
        assert wire.data == [["1"], ["2"]]
        assert wire.batches[0] is first  # not copied, because no event had to be dropped
        assert (sent.events, sent.cursor) == (2, page.cursor)
        wire.willing = False
        await out.publish(("a", "3"))
        await out.turn()
        [third] = await subscription.receive()
        assert not subscription.offer(Batch([third]))
        assert not await subscription.receive_ready()


# --- deferred actions -----------------------------------------------------------------------------


@pytest.mark.parametrize(("turn_ms", "flushes"), [(60_000.0, 1), (1e-6, None)])
async def test_a_deferred_action_runs_once_a_turn_and_before_other_tasks(
    turn_ms: float, flushes: int | None
) -> None:
    pending = done = passes = 0

    def flush() -> None:
        nonlocal pending, done
        assert pending
        pending, done = 0, done + 1

    async def watch() -> None:
        nonlocal passes
        while True:
            assert pending == 0
            passes += 1
            await trio.lowlevel.checkpoint()

    async with fan_out(turn_ms=turn_ms, max_turn_ms=turn_ms) as out:

        def written() -> None:
            nonlocal pending
            pending += 1
            out.hub.defer(flush)

        wires = [out.follow(topics("a"), wire=RecordingWire(written))[1] for _ in range(500)]
        await out.publish(("a", "1"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            nursery.start_soon(out.hub.run)
            while not all(wire.batches for wire in wires):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert pending == 0
        if flushes is None:  # the clock is read after every few offers, and each turn is over by then
            assert 500 / 64 < done < 500
            assert passes > 500 / 64
        else:
            assert done == flushes


# --- accounts -------------------------------------------------------------------------------------


async def test_direct_writes_are_counted_for_each_client_and_in_the_metrics(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with fan_out() as out:
        _, wire, sent = out.follow(topics("a", "b"))
        _, _, other = out.follow(topics("b"))
        waiting, unwilling, nothing = out.follow(topics("a", "b"))
        unwilling.willing = False
        await trio.sleep(7)
        moment = trio.current_time()
        ids = await out.publish(("a", "1"), ("b", "2"), ("a", "3"), type="stage")
        await out.turn()
        await out.publish(("b", "4"), type="done")
        await out.turn()
        size = sum(len(batch.sse) for batch in wire.batches)
        last = wire.batches[-1].last_id
        assert (sent.at, sent.events, sent.bytes, sent.cursor) == (moment, 4, size, last)
        assert (other.events, other.cursor) == (2, last)
        assert (nothing.at, nothing.events, nothing.bytes, nothing.cursor) == (0.0, 0, 0, None)
        assert data_of(await waiting.receive()) == ["1", "2", "3", "4"]
        assert last > ids[-1]
        assert out.metric("events_delivered_total", type="stage") == 3 + 1
        assert out.metric("events_delivered_total", type="done") == 2
        assert out.metric("delivery_seconds_count") == 4  # two writes to each of two clients
        assert out.metric("delivery_seconds_bucket", le="+Inf") == 4


async def test_a_subscription_without_a_wire_is_not_written_to() -> None:
    async with fan_out() as out:
        subscription, wire, sent = out.follow(topics("a"))
        await out.publish(("a", "1"))
        await out.turn()
        subscription.write_through(None)
        await out.publish(("a", "2"))
        await out.turn()
        assert wire.data == [["1"]]
        assert sent.events == 1
        assert data_of(await subscription.receive()) == ["2"]
        subscription.write_through(wire)  # the delivery record stays the same
        await out.publish(("a", "3"))
        await out.turn()
        assert wire.data == [["1"], ["3"]]
        assert sent.events == 2
        subscription.close()
        await out.publish(("a", "4"))
        await out.turn()
        assert wire.data == [["1"], ["3"]]
