"""The contract of the log: one suite, run against each implementation."""

import msgspec
import pytest
import trio
import trio.testing

from streamd.errors import IdempotencyConflict
from streamd.events import EARLIEST, DataEncoding, Draft, EventId
from streamd.events.topics import ALL
from streamd.log.port import ExpectedLast, Log, Page, Receipt, Refusal
from tests.support.logs import MANY, IdClock, append, clock, data, draft, log, make_log, pattern, read, topics

__all__ = ["clock", "log", "make_log"]  # the fixtures

AFTER_ALL = EventId("9999999999999-000000")


async def test_ids_only_grow_even_when_the_clock_is_set_back(log: Log, clock: IdClock) -> None:
    ids = [log.head]
    for step in (0, 5, -1000, 0, 3000, -3000):
        clock.ms += step
        ids += await append(log, "a", "b")
    assert ids == sorted(set(ids))
    assert log.head == ids[-1]
    assert [event.id for event in (await read(log, ALL)).events] == ids[1:]


@pytest.mark.parametrize(
    ("published", "text", "encoding"),
    [
        ("AAEC", "AAEC", DataEncoding.TEXT),
        ("two\r\nlines \0 \u00fc", "two\r\nlines \0 \u00fc", DataEncoding.TEXT),
        (msgspec.Raw(b"[1.50, 1E+2]"), "[1.50,1E+2]", DataEncoding.JSON),
        (b"\0\x01\x02", "AAEC", DataEncoding.BASE64),
        (b"", "", DataEncoding.BASE64),
    ],
)
async def test_data_is_read_as_it_was_appended(
    log: Log, published: object, text: str, encoding: DataEncoding
) -> None:
    await log.append([draft("a", published)])
    [event] = (await read(log, topics("a"))).events
    assert (event.data, event.encoding) == (text, encoding)


async def test_one_key_has_one_encoding(log: Log) -> None:
    [first] = await log.append([draft("a", b"\0\x01\x02", key="k")])
    [again] = await log.append([draft("a", bytearray(b"\0\x01\x02"), key="k")])
    assert (again.id, again.duplicate) == (first.id, True)
    with pytest.raises(IdempotencyConflict):
        await log.append([draft("a", "AAEC", key="k")])


async def test_a_page_has_the_matching_events_and_the_last_id_considered(log: Log) -> None:
    ids = await append(log, "a", "b", "tasks/1", "a", "b")
    page = await read(log, topics("a"))
    assert (data(page), page.cursor, page.more, page.gap) == (["a", "a"], ids[-1], False, None)
    assert data(await read(log, topics("a", "tasks/1"))) == ["a", "tasks/1", "a"]
    assert data(await read(log, pattern("tasks/*"), ids[1])) == ["tasks/1"]
    assert data(await read(log, topics("a"), ids[0])) == ["a"]
    assert data(await read(log, topics("nothing"))) == []


async def test_an_event_with_two_selected_topics_is_read_once(log: Log) -> None:
    await log.append([draft(["a", "b"], "both"), draft("a", "one")])
    for selectors in (topics("a", "b"), topics("a").union(pattern("*"))):
        assert data(await read(log, selectors)) == ["both", "one"]


@pytest.mark.parametrize("bound", [{"max_events": 1}, {"max_events": 3}, {"max_bytes": 1}, {"max_bytes": 20}])
async def test_pages_of_any_size_add_up_to_all_events(log: Log, bound: dict[str, int]) -> None:
    await append(log, *(f"topic/{n % 4}" for n in range(50)))
    for selectors in (topics("topic/1", "topic/3"), pattern("topic/*")):
        pages: list[Page] = []
        cursor = EARLIEST
        while not pages or pages[-1].more:
            pages.append(await log.read(selectors, cursor, **{**MANY, **bound}))
            cursor = pages[-1].cursor
        everything = await read(log, selectors)
        assert [e.id for page in pages for e in page.events] == [e.id for e in everything.events]


async def test_drafts_are_appended_all_or_none(log: Log) -> None:
    await log.append([draft("a", "first", key="k")])
    head = log.head
    with pytest.raises(IdempotencyConflict):
        await log.append([draft("b"), draft("a", "other", key="k")])
    with pytest.raises(IdempotencyConflict):
        await log.append([draft("b", 1, key="new"), draft("b", 2, key="new")])
    assert log.head == head


async def test_an_idempotency_key_publishes_once_for_its_publisher(log: Log) -> None:
    [first] = await log.append([draft("a", 1, key="k")], publisher="ann")
    again, new = await log.append([draft("a", 1, key="k"), draft("a", 2)], publisher="ann")
    assert (again.id, again.duplicate, new.duplicate) == (first.id, True, False)
    [other] = await log.append([draft("a", 3, key="k")], publisher="bob")
    assert not other.duplicate
    one, two = await log.append([draft("a", 4, key="x"), draft("a", 4, key="x")])
    assert (one.id, two.duplicate) == (two.id, True)


async def test_a_cursor_of_another_log_is_a_gap_followed_by_all_kept_events(log: Log) -> None:
    await append(log, "a", "b")
    for cursor in (EventId("1600000000000-000000"), AFTER_ALL):
        page = await read(log, topics("a"), cursor)
        assert (data(page), page.gap) == (["a"], log.start)
    assert (await read(log, topics("a"), log.start)).gap is None
    assert (await read(log, topics("a"), log.head)).gap is None


async def append_if(log: Log, event: Draft, condition: ExpectedLast) -> list[Receipt]:
    receipts = await log.append([event], [condition])
    assert not isinstance(receipts, Refusal)
    return receipts


async def test_an_expected_last_event_is_checked_with_the_append(log: Log) -> None:
    assert await log.append([], [ExpectedLast("a", EARLIEST)]) == []
    [first] = await append_if(log, draft(["b", "a"], 1), ExpectedLast("a", EARLIEST))
    refusal = await log.append([draft("a", 2)], [ExpectedLast("c", EARLIEST), ExpectedLast("a", EARLIEST)])
    assert refusal == Refusal(ExpectedLast("a", EARLIEST), present=first.id)
    for topic in ("a", "b"):
        assert await log.append([], [ExpectedLast(topic, first.id)]) == []
    assert log.head == first.id
    [third] = await append_if(log, draft("a", 3), ExpectedLast("a", first.id))
    assert third.id == log.head


async def test_each_event_keeps_the_last_id_of_its_append(log: Log) -> None:
    first, second, third = await append(log, "a", "b", "a")
    [alone] = await append(log, "a")
    assert [await log.end_of_append(id) for id in (first, second, third)] == [third] * 3
    assert await log.end_of_append(alone) == alone
    assert await log.end_of_append(log.start) is None


async def test_events_of_every_encoding_are_read_as_they_were_published(log: Log) -> None:
    drafts = [
        draft(["a", "topic"], "two\nlines \u2028 \x00 😀", type="tick", retry_ms=5),
        draft("a", {"n": 1.50, "big": 10**18, "text": "\x7f"}),
        draft("a", None),
        draft("a", b"\x00\xff"),
        draft("a", ""),
    ]
    receipts = await log.append(drafts)
    page = await read(log, topics("a"))
    assert [(e.id, e.topics, e.type, e.data, e.encoding, e.retry_ms) for e in page.events] == [
        (r.id, d.topics, d.type, d.data, d.encoding, d.retry_ms)
        for r, d in zip(receipts, drafts, strict=True)
    ]


async def test_the_tail_waits_for_the_next_event(log: Log) -> None:
    pages: list[Page] = []

    async def follow() -> None:
        pages.append(await log.tail(log.start, **MANY))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert not pages
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        await trio.testing.wait_all_tasks_blocked()
        await append(log, "a", "b")
    assert data(pages[0]) == ["a", "b"]
