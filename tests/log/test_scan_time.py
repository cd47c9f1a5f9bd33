"""The scan for a page ends by the clock, however long the patterns of a client take to match."""

import pytest

from streamd.events import EARLIEST, Selectors
from streamd.hub.settings import HubSettings
from streamd.log.memory import MemoryLog
from streamd.log.scan_time import ScanTime
from streamd.log.settings import LogSettings
from tests.support.logs import append, pattern


class CpuClock:
    """A processor time (s) that goes on by a step with each look at it."""

    def __init__(self, step: float) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def test_a_scan_ends_at_the_first_look_after_its_time() -> None:
    scan_time = ScanTime(CpuClock(0.0013))
    scan_time.begin()
    scanned = next(number for number in range(1, 1000) if scan_time.is_over(number))
    assert scanned == 3 * 16
    assert not scan_time.is_over(scanned + 1)
    scan_time.begin()
    assert not scan_time.is_over(16)


def test_the_scans_of_one_pass_take_less_than_half_of_its_time() -> None:
    clock = CpuClock(0.0)
    scan_time = ScanTime(clock)
    scan_time.begin()
    clock.now = 0.025 / HubSettings().replay_reads  # s; a pass of the event loop should take 50 ms at most
    assert scan_time.is_over(16)


@pytest.mark.parametrize("selectors", [pattern("none/*"), pattern("t/*"), Selectors(["t/1"])])
async def test_a_page_ends_early_and_the_next_goes_on(selectors: Selectors) -> None:
    log = MemoryLog(LogSettings(), cpu_time=CpuClock(1.0))
    ids = await append(log, *["t/1"] * 50)
    cursor, found, pages = EARLIEST, [], 0
    while True:
        page = await log.read(selectors, cursor, max_events=100, max_bytes=10_000)
        assert len(page.events) <= 16
        assert page.more is (page.cursor < ids[-1])
        found += [event.id for event in page.events]
        cursor, pages = page.cursor, pages + 1
        if not page.more:
            break
    assert found == (ids if selectors.matches(["t/1"]) else [])
    assert pages == 4
