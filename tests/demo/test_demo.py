"""The demo source: the time of each event, and failures of a source or of publishing."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
import trio
import trio.testing

from streamd.demo import run_demo
from streamd.demo.settings import DemoSettings
from streamd.errors import ShuttingDown, TooLarge, Unavailable

POLL_SECONDS = 0.005

FIGURES_ONLY = DemoSettings(enabled=True, interval_seconds=1.0)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Capture the log, which has tracebacks on purpose."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.log"


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


class Publisher:
    """Takes events as the hub does; raises the error that ``refuse`` returns."""

    def __init__(self, refuse: Callable[[str, Any], Exception | None] = lambda topic, data: None) -> None:
        self.refuse = refuse
        self.events: list[tuple[str, str, Any]] = []
        self._send, self._receive = trio.open_memory_channel[tuple[str, str, Any]](1_000)

    async def __call__(self, topic: str, data: Any, *, type: str) -> str:
        await trio.lowlevel.checkpoint()
        if error := self.refuse(topic, data):
            raise error
        self.events.append((topic, type, data))
        self._send.send_nowait(self.events[-1])
        return "id"

    async def next(self, topic: str) -> tuple[str, Any]:
        with trio.fail_after(30):
            async for event in self._receive:
                if event[0] == topic:
                    return event[1:]
        raise AssertionError("the channel is never closed")


def numbered() -> Callable[[], Awaitable[dict[str, Any]]]:
    """Return a source of samples without a thread, for the virtual clock."""
    numbers = iter(range(1_000))

    async def sample() -> dict[str, Any]:
        return {"number": next(numbers)}

    return sample


async def test_figures_are_published_once_an_interval(autojump_clock: trio.testing.MockClock) -> None:
    publisher = Publisher()
    with trio.move_on_after(4.5):
        await run_demo(publisher, FIGURES_ONLY, sample=numbered())
    assert publisher.events == [("host/metrics", "metrics", {"number": number}) for number in range(5)]


async def test_overdue_samples_are_skipped(autojump_clock: trio.testing.MockClock) -> None:
    taken: list[float] = []

    async def sample() -> dict[str, Any]:
        taken.append(trio.current_time())
        await trio.sleep(3.5 if len(taken) == 2 else 0)
        return {}

    started = trio.current_time()
    with trio.move_on_after(6.9):
        await run_demo(Publisher(), FIGURES_ONLY, sample=sample)
    assert [at - started for at in taken] == pytest.approx([0, 1, 4.5, 5.5, 6.5])


async def test_figures_are_dropped_while_publishing_is_unavailable(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def refuse(topic: str, data: Any) -> Exception | None:
        return Unavailable("not now") if data["number"] in (1, 2) else None

    publisher = Publisher(refuse)
    with trio.move_on_after(4.5):
        await run_demo(publisher, FIGURES_ONLY, sample=numbered())
    assert [data["number"] for _, _, data in publisher.events] == [0, 3, 4]


async def test_a_failing_source_is_restarted_with_exponential_backoff(
    autojump_clock: trio.testing.MockClock,
) -> None:
    taken: list[float] = []

    async def sample() -> dict[str, Any]:
        taken.append(trio.current_time())
        raise RuntimeError("no figures today")

    started = trio.current_time()
    with trio.move_on_after(100):
        await run_demo(Publisher(), FIGURES_ONLY, sample=sample)
    assert [at - started for at in taken] == pytest.approx([0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5, 91.5])


async def test_this_machines_figures_are_published(path: Path) -> None:
    publisher = Publisher()
    settings = DemoSettings(enabled=True, interval_seconds=0.01)
    async with trio.open_nursery() as nursery:
        await nursery.start(run_demo, publisher, settings)
        await publisher.next("host/metrics")
        type_, figures = await publisher.next("host/metrics")
        nursery.cancel_scope.cancel()
    assert type_ == "metrics"
    assert figures["interval_seconds"] > 0


async def test_the_lines_of_each_file_have_their_topic(tmp_path: Path) -> None:
    one, two = tmp_path / "one.log", tmp_path / "two.log"
    append(one, "old\n")
    publisher = Publisher()
    settings = DemoSettings(follow=[str(one), str(two)])
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda **kw: run_demo(publisher, settings, poll_seconds=POLL_SECONDS, **kw))
        append(one, "new\n")  # run_demo has started: no line is missed from here on
        append(two, "here too\n")
        assert await publisher.next("files/one.log") == ("line", "new")
        append(two, "and on\n")
        while ("files/two.log", "line", "and on") not in publisher.events:
            await publisher.next("files/two.log")
        nursery.cancel_scope.cancel()
    assert [data for topic, _, data in publisher.events if topic == "files/two.log"] == ["here too", "and on"]


async def test_lines_wait_while_publishing_is_unavailable(path: Path) -> None:
    refusals = iter([ShuttingDown("going")])
    publisher = Publisher(lambda topic, data: next(refusals, None))
    settings = DemoSettings(follow=[str(path)], follow_topic="logs")
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda **kw: run_demo(publisher, settings, poll_seconds=POLL_SECONDS, **kw))
        append(path, "one\ntwo\n")
        assert await publisher.next("logs") == ("line", "one")
        assert await publisher.next("logs") == ("line", "two")
        nursery.cancel_scope.cancel()


async def test_a_rejected_line_does_not_block_the_next(path: Path) -> None:
    publisher = Publisher(lambda topic, data: TooLarge("too large") if len(data) > 5 else None)
    settings = DemoSettings(follow=[str(path)], follow_topic="logs")
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda **kw: run_demo(publisher, settings, poll_seconds=POLL_SECONDS, **kw))
        append(path, "much too long\nfits\n")
        assert await publisher.next("logs") == ("line", "fits")
        nursery.cancel_scope.cancel()


async def test_a_failing_source_does_not_stop_the_others(path: Path, tmp_path: Path) -> None:
    async def sample() -> dict[str, Any]:
        raise RuntimeError("no figures today")

    publisher = Publisher()
    settings = DemoSettings(enabled=True, follow=[str(tmp_path), str(path)], follow_topic="logs")
    async with trio.open_nursery() as nursery:
        await nursery.start(
            lambda **kw: run_demo(publisher, settings, sample=sample, poll_seconds=POLL_SECONDS, **kw)
        )
        append(path, "still here\n")
        assert await publisher.next("logs") == ("line", "still here")
        nursery.cancel_scope.cancel()


async def test_a_failure_in_a_batch_loses_no_line(path: Path) -> None:
    failures = iter([None, RuntimeError("a bug")])
    publisher = Publisher(lambda topic, data: next(failures, None))
    settings = DemoSettings(follow=[str(path)], follow_topic="logs")
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda **kw: run_demo(publisher, settings, poll_seconds=POLL_SECONDS, **kw))
        append(path, "one\ntwo\nthree\n")
        assert [(await publisher.next("logs"))[1] for _ in range(3)] == ["one", "two", "three"]
        nursery.cancel_scope.cancel()
