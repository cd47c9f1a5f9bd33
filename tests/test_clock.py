"""Steady time: what a step of the wall clock, a restart and other threads do to it."""

import time
from datetime import timedelta

import pytest
import structlog.testing
import trio
import trio.testing

from streamd.clock import MAX_DOWNTIME, BootTime, ClockRecord, SteadyClock, read_boot_time
from tests.support.clocks import NOON, WallClock, at

Clock = trio.testing.MockClock
DAY = 86_400
YEAR = 365 * DAY
STEPS = [120, DAY, -3600, 10 * YEAR]


def seconds(delta: timedelta) -> float:
    return delta.total_seconds()


@pytest.mark.parametrize("step", STEPS)
async def test_a_step_of_the_wall_clock_changes_the_offset_and_not_steady_time(
    step: float, autojump_clock: Clock
) -> None:
    wall = WallClock()
    clock = SteadyClock(wall)
    assert (clock.now(), clock.offset()) == (NOON, timedelta())
    await trio.sleep(5)
    wall.step(step)
    assert (clock.now(), seconds(clock.offset())) == (at(5), step)
    await trio.sleep(5)
    assert (clock.now(), seconds(clock.offset())) == (at(10), step)
    wall.step(-step)
    assert (clock.now(), clock.offset()) == (at(10), timedelta())


async def test_small_corrections_are_no_step_until_their_sum_is(autojump_clock: Clock) -> None:
    wall = WallClock()
    clock = SteadyClock(wall)
    offsets = [seconds(clock.offset())]
    for _ in range(8):
        wall.step(0.1)
        offsets.append(seconds(clock.offset()))
    assert offsets == [0, 0, 0, 0, 0, 0, 0.6, 0.6, 0.6]


async def test_any_thread_reads_steady_time(autojump_clock: Clock) -> None:
    clock = SteadyClock(WallClock())
    began = clock.now()
    assert await trio.to_thread.run_sync(clock.now) >= began


# --- restarts ---------------------------------------------------------------------------------------


async def test_after_a_restart_steady_time_goes_on_with_the_downtime(autojump_clock: Clock) -> None:
    wall = WallClock()
    wall.step(500)
    clock = SteadyClock(wall)
    clock.resume(ClockRecord(at(400), offset=timedelta(seconds=60)))  # recorded at 460 of the wall clock
    assert (clock.now(), seconds(clock.offset())) == (at(440), 60)


@pytest.mark.parametrize(
    ("set_by", "downtime"),
    [(-1, 0), (-3600, 0), (120, 120), (DAY, DAY), (10 * YEAR, DAY)],
)
async def test_a_downtime_is_never_negative_nor_longer_than_a_day(
    set_by: float, downtime: float, autojump_clock: Clock
) -> None:
    assert seconds(MAX_DOWNTIME) == DAY
    wall = WallClock()
    wall.step(set_by)
    clock = SteadyClock(wall)
    clock.resume(ClockRecord(NOON, offset=timedelta()))
    assert (clock.now(), seconds(clock.offset())) == (at(downtime), set_by - downtime)


@pytest.mark.parametrize(
    ("set_by", "logged"),
    [
        (-3600, [("wall_clock_stepped", -3600)]),
        (-0.1, []),  # NTP corrected the clock
        (120, []),
        (DAY, []),
        (DAY + 120, [("downtime_limited", DAY + 120)]),
    ],
)
async def test_the_log_names_a_clock_that_was_set_back_and_a_downtime_that_is_not_believed(
    set_by: float, logged: list[tuple[str, float]], autojump_clock: Clock
) -> None:
    wall = WallClock()
    wall.step(set_by)
    with structlog.testing.capture_logs() as lines:
        SteadyClock(wall).resume(ClockRecord(NOON, offset=timedelta()))
    assert [(line["event"], line["seconds"]) for line in lines] == logged


@pytest.mark.parametrize("step", [-3600.0, 0.0, 3600.0])
async def test_a_step_of_the_wall_clock_while_no_process_ran_is_no_downtime(
    step: float, autojump_clock: Clock
) -> None:
    wall = WallClock()
    before = ClockRecord(NOON, timedelta(), BootTime("boot", timedelta(seconds=100)))
    wall.step(20 + step)
    clock = SteadyClock(wall, lambda: BootTime("boot", timedelta(seconds=120)))
    with structlog.testing.capture_logs() as lines:
        clock.resume(before)
    assert clock.now() == at(20)
    assert clock.wall() == at(20 + step)
    assert [line["seconds"] for line in lines] == ([step] if step else [])


async def test_after_a_start_of_the_machine_the_wall_clock_tells_the_downtime(autojump_clock: Clock) -> None:
    wall = WallClock()
    before = ClockRecord(NOON, timedelta(), BootTime("boot", timedelta(seconds=100)))
    wall.step(300)
    for booted in (None, BootTime("another", timedelta(seconds=110))):
        clock = SteadyClock(wall, lambda booted=booted: booted)  # type: ignore[misc]
        clock.resume(before)
        assert clock.now() == at(300)


def test_the_time_since_the_start_of_the_machine_grows() -> None:
    first, second = read_boot_time(), read_boot_time()
    if not hasattr(time, "CLOCK_BOOTTIME"):
        assert first is second is None
        return
    assert first is not None
    assert second is not None
    assert first.boot == second.boot
    assert timedelta() < first.elapsed <= second.elapsed


async def test_a_record_is_due_at_first_after_ten_seconds_and_at_once_after_a_step(
    autojump_clock: Clock,
) -> None:
    wall = WallClock()
    clock = SteadyClock(wall)

    def check_due(record: ClockRecord) -> None:
        for _ in range(2):  # until it is stored
            assert clock.due_record() == record
        clock.note_recorded(record)
        assert clock.due_record() is None

    check_due(ClockRecord(at(0), timedelta()))
    await trio.sleep(9)
    assert clock.due_record() is None
    await trio.sleep(1)
    check_due(ClockRecord(at(10), timedelta()))
    wall.step(-60)
    check_due(ClockRecord(at(10), timedelta(seconds=-60)))
    resumed = SteadyClock(wall)
    resumed.resume(ClockRecord(at(10), timedelta()))  # the wall clock was set back while no process ran
    assert resumed.due_record() == ClockRecord(at(10), timedelta(seconds=-60))
