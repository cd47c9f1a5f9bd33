"""The bound on log lines per second, and the count of those that it suppresses."""

import io
import json
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
import trio
import trio.testing
from trio.testing import MockClock

from streamd.logs import FrequentLine, LoggingSettings, configure_logging, report_suppressed_lines
from streamd.logs.levels import PACKAGES
from streamd.logs.limited import LineLimit, line_limit


@pytest.fixture
def three_a_second(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Configure the log as the server does, with a bound of three lines, and return its standard error."""
    text = io.StringIO()
    root, previous, level = logging.getLogger(), logging.getLogger().handlers[:], logging.getLogger().level
    areas = [logging.getLogger(name) for name in ("streamd", *(f"streamd.{area}" for area in PACKAGES))]
    levels = [area.level for area in areas]
    monkeypatch.setattr("sys.stderr", text)
    monkeypatch.setattr(line_limit, "max_lines_per_second", 3)
    monkeypatch.setattr(line_limit, "clock", trio.current_time)
    monkeypatch.setattr(line_limit, "window_ends", 0.0)
    monkeypatch.setattr(line_limit, "_lines", Counter())  # other tests of this process may have left some
    monkeypatch.setattr(line_limit, "_suppressed", Counter())
    root.handlers.clear()  # those of pytest, which `configure_logging` would close
    configure_logging(LoggingSettings(format="json", max_lines_per_second=3))
    yield text
    line_limit.report()
    structlog.reset_defaults()
    root.handlers[:] = previous
    root.setLevel(level)
    for area, former in zip(areas, levels, strict=True):
        area.setLevel(former)


def take(text: io.StringIO) -> list[dict[str, Any]]:
    """Return the lines written since the last call."""
    lines = [json.loads(line) for line in text.getvalue().splitlines()]
    text.seek(0)
    text.truncate()
    return lines


def events(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(line["level"], line["event"]) for line in lines]


async def test_lines_of_one_kind_are_bounded_and_the_suppressed_ones_counted(
    three_a_second: io.StringIO, autojump_clock: MockClock
) -> None:
    log = structlog.get_logger("streamd.services.research.job")
    for number in range(10):
        try:
            raise ValueError(number)
        except ValueError as error:
            log.error("dataset_failed", task=str(number), exc_info=error)
    log.warning("task_failed")
    lines = take(three_a_second)
    assert events(lines) == [("error", "dataset_failed")] * 3 + [("warning", "task_failed")]
    assert "ValueError: 2" in lines[2]["exception"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(report_suppressed_lines)
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    [line] = take(three_a_second)
    assert (line["event"], line["count"], line["level"]) == ("lines_suppressed", 7, "error")
    assert line["suppressed"] == "dataset_failed"
    log.error("dataset_failed")
    assert events(take(three_a_second)) == [("error", "dataset_failed")]


async def test_a_line_that_is_asked_about_before_is_counted_once(
    three_a_second: io.StringIO, autojump_clock: MockClock
) -> None:
    log = structlog.get_logger("streamd.http.observe")
    line = FrequentLine(log, "request")
    for number in range(10):
        suppressed = line.is_suppressed(logging.INFO)
        assert suppressed == (number >= 3)
        if not suppressed:
            log.info("request", number=number)
    assert [written["number"] for written in take(three_a_second)] == [0, 1, 2]
    line_limit.report()
    [report] = take(three_a_second)
    assert (report["event"], report["count"], report["level"]) == ("lines_suppressed", 7, "info")


async def test_a_line_that_was_suppressed_is_written_in_the_next_second(
    three_a_second: io.StringIO, autojump_clock: MockClock
) -> None:
    log = structlog.get_logger("streamd.http.observe")
    line = FrequentLine(log, "request")
    for _ in range(9):
        if not line.is_suppressed(logging.INFO):
            log.info("request")
    take(three_a_second)
    await trio.sleep(1)
    log.info("another")  # begins a window; what was suppressed before is not reported yet
    assert not line.is_suppressed(logging.INFO)


def test_a_line_below_its_level_is_suppressed_and_not_counted(three_a_second: io.StringIO) -> None:
    line = FrequentLine(structlog.get_logger("streamd.http.observe"), "request")
    assert all(line.is_suppressed(logging.DEBUG) for _ in range(9))
    line_limit.report()
    assert take(three_a_second) == []


def test_loggers_of_a_program_with_its_own_configuration_suppress_nothing() -> None:
    with structlog.testing.capture_logs():
        log = structlog.wrap_logger(None, wrapper_class=structlog.stdlib.BoundLogger)
        assert not FrequentLine(log, "request").is_suppressed(logging.DEBUG)


async def test_the_reports_are_not_suppressed(three_a_second: io.StringIO, autojump_clock: MockClock) -> None:
    log = structlog.get_logger("streamd.tasks.engine")
    for event in ("a", "b", "c", "d", "e"):
        for _ in range(4):
            log.info(event)
    take(three_a_second)
    line_limit.report()
    assert [line["suppressed"] for line in take(three_a_second)] == ["a", "b", "c", "d", "e"]


async def test_lines_of_libraries_are_bounded_though_each_has_another_text(
    three_a_second: io.StringIO, autojump_clock: MockClock
) -> None:
    log = logging.getLogger("quart.app")
    for number in range(10):
        log.error(f"Exception on request {number}")  # noqa: G004 - as Quart does
    assert [line["event"] for line in take(three_a_second)] == [f"Exception on request {i}" for i in range(3)]
    line_limit.report()
    [line] = take(three_a_second)
    assert (
        line["suppressed"] == "test_limited.test_lines_of_libraries_are_bounded_though_each_has_another_text"
    )
    assert line["count"] == 7


async def test_each_second_and_each_logger_has_its_own_bound(autojump_clock: MockClock) -> None:
    limit = LineLimit(trio.current_time)
    limit.max_lines_per_second = 3
    admitted = 0
    for _ in range(4):
        for _ in range(5):
            admitted += limit.admits("streamd.a", logging.DEBUG, "heartbeat_sent")
            admitted += limit.admits("streamd.b", logging.DEBUG, "heartbeat_sent")
        await trio.sleep(1)
    assert admitted == 2 * 4 * 3


class InterruptedCounter(Counter[tuple[str, str]]):
    """A counter, during whose first look-up another thread does something."""

    def __init__(self, meanwhile: threading.Thread) -> None:
        super().__init__()
        self._meanwhile: threading.Thread | None = meanwhile

    def __getitem__(self, key: tuple[str, str]) -> int:
        count = super().__getitem__(key)
        thread, self._meanwhile = self._meanwhile, None
        if thread is not None:
            thread.start()
            thread.join(0.5)  # it cannot end while the look-up is protected
        return count


def test_lines_of_threads_share_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = LineLimit(lambda: 0.0)
    limit.max_lines_per_second = 1
    limit.admits("streamd.a", logging.INFO, "other")  # the window begins, and forgets the counts
    admitted: list[bool] = []

    def write() -> None:
        admitted.append(limit.admits("streamd.a", logging.INFO, "delivered"))

    thread = threading.Thread(target=write)
    monkeypatch.setattr(limit, "_lines", InterruptedCounter(thread))
    write()
    thread.join()
    assert sorted(admitted) == [False, True]


async def test_the_last_second_is_reported_at_the_end(
    three_a_second: io.StringIO, autojump_clock: MockClock
) -> None:
    log = structlog.get_logger("streamd.tasks.engine")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(report_suppressed_lines)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(5):
            log.info("claimed")
        take(three_a_second)
        nursery.cancel_scope.cancel()
    [line] = take(three_a_second)
    assert (line["suppressed"], line["count"]) == ("claimed", 2)
