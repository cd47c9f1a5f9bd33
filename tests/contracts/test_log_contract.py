"""The contract of the log: one suite, run against each implementation."""

import msgspec
import pytest
import trio

from streamd.errors import IdempotencyConflict
from streamd.events import EARLIEST, DataEncoding, Draft, EventId, Pattern, Selectors
from streamd.events.settings import EventSettings
from streamd.events.topics import ALL
from streamd.log.port import Log, Page
from streamd.log.settings import LogSettings
from tests.support.logs import LOGS, NOON_MS, MakeLog

MANY = {"max_events": 10_000, "max_bytes": 10_000_000}
AFTER_ALL = EventId("9999999999999-000000")


class Clock:
    def __init__(self) -> None:
        self.ms = NOON_MS

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=LOGS)
def make_log(request: pytest.FixtureRequest) -> MakeLog:
    return LOGS[request.param]


@pytest.fixture
def log(make_log: MakeLog, clock: Clock) -> Log:
    return make_log(LogSettings(), clock)


def draft(topics: str | list[str], data: object = "", key: str | None = None) -> Draft:
    return Draft.create(topics, data, limits=EventSettings(), idempotency_key=key)


def topics(*names: str) -> Selectors:
    return Selectors(topics=names)


def pattern(text: str) -> Selectors:
    return Selectors(patterns=[Pattern(text)])


async def append(log: Log, *names: str) -> list[EventId]:
    return [receipt.id for receipt in await log.append([draft(name, name) for name in names])]


async def read(log: Log, selectors: Selectors, after: EventId = EARLIEST) -> Page:
    return await log.read(selectors, after, **MANY)


def data(page: Page) -> list[str]:
    return [event.data for event in page.events]


async def test_ids_only_grow_even_when_the_clock_is_set_back(log: Log, clock: Clock) -> None:
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
    ids=repr,
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
        assert [e for page in pages for e in page.events] == list((await read(log, selectors)).events)


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
        assert (data(page), page.gap) == (["a"], log.epoch)
    assert (await read(log, topics("a"), log.epoch)).gap is None
    assert (await read(log, topics("a"), log.head)).gap is None


async def test_a_gap_means_that_a_matching_event_was_dropped(make_log: MakeLog, clock: Clock) -> None:
    log = make_log(LogSettings(topic_max_events=3), clock)
    [quiet] = await append(log, "quiet/1")
    busy = await append(log, *["busy"] * 10)
    for selectors in (topics("quiet/1"), pattern("quiet/*")):
        for after in (log.epoch, quiet):
            assert (await read(log, selectors, after)).gap is None
    for selectors in (topics("busy"), topics("quiet/1", "busy"), pattern("*")):
        page = await read(log, selectors, quiet)
        assert page.gap == busy[6]
        assert [event.id for event in page.events] == busy[7:]
    assert (await read(log, topics("busy"), busy[6])).gap is None
    assert (await read(log, topics("busy"), EARLIEST)).gap is None


async def test_a_dropped_event_is_gone_from_all_its_topics_and_a_gap_in_each(
    make_log: MakeLog, clock: Clock
) -> None:
    log = make_log(LogSettings(topic_max_events=2), clock)
    [shared] = [receipt.id for receipt in await log.append([draft(["busy", "quiet"], "shared", key="k")])]
    await append(log, "quiet", "busy", "busy")
    page = await read(log, topics("quiet"), log.epoch)
    assert (data(page), page.gap) == (["quiet"], shared)
    [again] = await log.append([draft(["busy", "quiet"], "shared", key="k")])
    assert not again.duplicate  # the key went with its event


@pytest.mark.parametrize(
    "bounds",
    [
        LogSettings(max_events=20),
        LogSettings(max_bytes=20 * 12),
        LogSettings(topic_max_events=5),
        LogSettings(topic_max_bytes=5 * 12),
    ],
    ids=["events", "bytes", "topic events", "topic bytes"],
)
async def test_the_number_and_bytes_of_kept_events_are_bounded(
    make_log: MakeLog, clock: Clock, bounds: LogSettings
) -> None:
    log = make_log(bounds, clock)
    names = [f"t{n % 4}" for n in range(1000)]  # 2 bytes of topic, 7 of type and 3 of data
    await log.append([draft(name, "xxx") for name in names])
    assert 15 <= len((await read(log, ALL)).events) <= 20


DAY_MS = 86_400_000


@pytest.mark.parametrize("set_by_ms", [0, 120_000, DAY_MS, -3_600_000])
async def test_old_events_expire_whatever_the_wall_clock_is_set_to(
    make_log: MakeLog, clock: Clock, set_by_ms: int, autojump_clock: trio.testing.MockClock
) -> None:
    log = make_log(LogSettings(max_age_seconds=10), clock)
    [old] = await append(log, "a")
    clock.ms += set_by_ms
    await trio.sleep(9)
    await append(log, "a")
    page = await read(log, topics("a"), log.epoch)
    assert (len(page.events), page.gap) == (2, None)
    await trio.sleep(2)
    page = await read(log, topics("a"), log.epoch)
    assert (len(page.events), page.gap) == (1, old)


async def test_an_event_larger_than_the_log_is_a_gap(make_log: MakeLog, clock: Clock) -> None:
    log = make_log(LogSettings(topic_max_bytes=50), clock)
    ids = [receipt.id for receipt in await log.append([draft(["a", "b"], "x" * 100), draft("a", "y")])]
    page = await read(log, topics("a"), log.epoch)
    assert (data(page), page.gap) == (["y"], ids[0])


async def test_the_tail_waits_for_the_next_event(log: Log, autojump_clock: trio.testing.MockClock) -> None:
    with trio.move_on_after(60) as scope:
        await log.tail(log.head, **MANY)
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        pages: list[Page] = []

        async def follow() -> None:
            pages.append(await log.tail(log.epoch, **MANY))

        nursery.start_soon(follow)
        await trio.testing.wait_all_tasks_blocked()
        await append(log, "a", "b")
    assert data(pages[0]) == ["a", "b"]


async def test_other_bounds_apply_from_the_next_event_on(log: Log) -> None:
    for _ in range(5):
        await append(log, "a")
    log.apply_settings(LogSettings(max_events=3, topic_max_events=2))
    await append(log, "a", "b")
    assert len((await read(log, topics("a"))).events) == 2
    log.apply_settings(LogSettings())
    await append(log, "a")
    assert len((await read(log, topics("a"))).events) == 3
