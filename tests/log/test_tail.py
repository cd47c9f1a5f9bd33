"""The readers that wait for the next events: those that skip some wait on."""

from collections.abc import Sequence

import trio
import trio.testing

from streamd.events import Event, EventId
from streamd.events.ids import make_event_id
from streamd.log.port import skip_none
from streamd.log.tail import TailReaders
from tests.support.logs import draft

HEAD = make_event_id(1, 0)


def event(number: int, topic: str = "a") -> Event:
    return Event.from_draft(draft(topic, str(number)), make_event_id(1, number))


def skip_b(events: Sequence[Event]) -> bool:
    return all(event.topics == ("b",) for event in events)


async def test_a_reader_wakes_behind_the_events_that_it_skipped() -> None:
    readers, woken = TailReaders(), list[tuple[str, EventId]]()

    async def read(name: str) -> None:
        woken.append((name, await readers.wait(HEAD, skip_b if name == "skips" else skip_none)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read, "skips")
        await trio.testing.wait_all_tasks_blocked()
        assert readers.announce([event(1, "b")])
        assert readers.announce([event(2, "b"), event(3, "b")])
        nursery.start_soon(read, "takes all")
        await trio.testing.wait_all_tasks_blocked()
        assert not readers.announce([event(4, "b")])
        await trio.testing.wait_all_tasks_blocked()
        assert woken == [("takes all", HEAD)]
        assert not readers.announce([event(5, "b"), event(6)])
        await trio.testing.wait_all_tasks_blocked()
        assert woken[1:] == [("skips", make_event_id(1, 4))]


async def test_without_a_waiting_reader_nothing_is_skipped() -> None:
    readers = TailReaders()
    assert not readers.announce([event(1, "b")])
    with trio.move_on_after(0):
        await readers.wait(HEAD, skip_b)
    assert not readers.announce([event(2, "b")])  # the cancelled reader is gone
    async with trio.open_nursery() as nursery:
        nursery.start_soon(readers.wait, HEAD, skip_b)
        await trio.testing.wait_all_tasks_blocked()
        assert not readers.announce([event(3)])
        assert not readers.announce([event(4, "b")])  # it was woken, and has not run: it will read this one
