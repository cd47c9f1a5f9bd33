"""The bound on log lines per second, and the count of those that it suppresses."""

import pytest
import structlog
import trio
from structlog.testing import capture_logs
from structlog.typing import EventDict

from streamd.logs import LimitedLog, report_suppressed_lines


@pytest.fixture
def three_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LimitedLog, "max_lines_per_second", 3)


def events(logs: list[EventDict]) -> list[tuple[str, str]]:
    return [(entry["log_level"], entry["event"]) for entry in logs]


@pytest.mark.usefixtures("three_a_second")
async def test_lines_of_one_event_are_bounded_and_the_suppressed_ones_counted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with capture_logs() as logs:
        limited = LimitedLog(structlog.get_logger(), trio.current_time)
        for _ in range(10):
            limited.info("test_request")
        limited.warning("task_failed")
        assert events(logs) == [("info", "test_request")] * 3 + [("warning", "task_failed")]
        logs.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(report_suppressed_lines)
            await trio.sleep(5)
            nursery.cancel_scope.cancel()
        [line] = [entry for entry in logs if entry.get("suppressed") == "test_request"]
        assert (line["event"], line["count"], line["log_level"]) == ("lines_suppressed", 7, "info")
        logs.clear()
        limited.info("test_request")
        assert events(logs) == [("info", "test_request")]


@pytest.mark.usefixtures("three_a_second")
async def test_each_second_has_its_own_bound(autojump_clock: trio.testing.MockClock) -> None:
    with capture_logs() as logs:
        limited = LimitedLog(structlog.get_logger(), trio.current_time)
        for _ in range(4):
            for _ in range(5):
                limited.debug("heartbeat_sent")
            await trio.sleep(1)
        limited.report()
    assert len(logs) == 4 * 3 + 1
    assert logs[-1]["count"] == 8
