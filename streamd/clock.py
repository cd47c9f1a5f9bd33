"""Steady time: the clock by which leases, deadlines and retention are decided.

Theory of operation
-------------------
The system's wall clock can be set at any moment: by a person, by NTP after the start of a machine, when a
virtual machine is resumed. A deadline that is compared with it then passes too early or never. So there are
two times, and each is used for one purpose::

    wall clock    12:00 ── 12:01 ── 12:02 ┐ set forward by a day: a step
                                          └ 12:03 (+1 d) ── 12:04 (+1 d)      shown to people
    steady time   12:00 ── 12:01 ── 12:02 ─ 12:03 ───────── 12:04             decides
    offset          0        0        0      1 d              1 d             wall clock - steady time

1. *Steady time* decides. It begins as the time of the wall clock, and then advances with trio's clock, which
   is monotonic (``CLOCK_MONOTONIC`` on Linux). A step of the wall clock does not change it.
2. *The offset* is the wall clock minus steady time. It changes only with a step, that is by more than half a
   second at once or in sum: NTP's gradual corrections apply to both clocks.
3. A time that is shown is steady time plus an offset. It is stamped once, and never calculated again.
   A task keeps the largest offset of its life (:meth:`streamd.tasks.Task.with_offset`), so its times never
   run backwards, and its durations stay right while the wall clock is behind them.
4. *Restart.* A :class:`ClockRecord` is stored with the writes of the database, at least every ten seconds of
   writing, and with the next one after a step; and when the database is closed. The next process continues
   from it. It has the time since the start of the machine, too (:class:`BootTime`). On Linux, and until the
   machine starts again, that tells how long no process ran, whatever happened to the wall clock: also for a
   process that was killed right after a step.
   Otherwise only the wall clock knows, so steady time advances by its difference. Both count from
   0 to :data:`MAX_DOWNTIME`. A clock that was set back meanwhile thus prolongs a deadline by ten seconds at
   most, and one that was set forward by years does not make a day's results expire as if years had passed.
   Nothing tells that clock from a longer downtime, so the log has ``downtime_limited`` for both.
5. *Suspend.* Monotonic time stands still while the machine sleeps. Afterwards the wall clock appears set
   forward by the time of the sleep: work, workers and their leases slept as well, and go on with the time
   that they had left. Shown times follow the wall clock.

Wall-clock times that are data, such as the timestamp of a received item, are not affected.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final

import attrs
import structlog
import trio

MAX_DOWNTIME: Final = timedelta(days=1)
"""Maximum time for which no process ran, as far as it is believed: as long as the longest deadline."""

_STEP: Final = timedelta(seconds=0.5)  # far more than two readings of clocks are apart
_RECORD_INTERVAL: Final = timedelta(seconds=10)  # bounds what a clock set back during a restart can add

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

_log = structlog.get_logger(__name__)


def utc_now() -> datetime:
    """Return the time of the system's wall clock, in UTC."""
    return datetime.now(UTC)


@attrs.frozen
class BootTime:
    """The time since the start of this machine, its sleep included.

    Args:
        boot: names the start; each has another name.
        elapsed: the time since then.
    """

    boot: str
    elapsed: timedelta


def read_boot_time() -> BootTime | None:
    """Return the time since the start of this machine (Linux, ``CLOCK_BOOTTIME``); None elsewhere."""
    boot = _read_boot()
    if boot is None:
        return None
    return BootTime(boot, timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME)))


@lru_cache(1)
def _read_boot() -> str | None:
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return None
    try:
        return _BOOT_ID.read_text().strip() or None
    except OSError:
        return None


def _no_boot_time() -> None:
    """Stand for the boot time of a clock whose wall clock is not that of this machine."""


@attrs.frozen
class ClockRecord:
    """A reading of a steady clock, from which the next process continues.

    Args:
        steady: steady time.
        offset: the wall clock minus steady time.
        booted: the time since the start of the machine; None if it is unknown.
    """

    steady: datetime
    offset: timedelta
    booted: BootTime | None = None

    def downtime(self, wall: datetime, booted: BootTime | None = None) -> timedelta:
        """Return the time since the record.

        Args:
            wall: the wall clock's time, which decides if the machine was started since the record.
            booted: the time since the start of the machine; None if it is unknown.
        """
        before = self.booted
        if before is not None and booted is not None and before.boot == booted.boot:
            return booted.elapsed - before.elapsed
        return wall - self.offset - self.steady

    def steady_at(self, wall: datetime, booted: BootTime | None = None) -> datetime:
        """Return the steady time of a process that starts; the arguments are those of `downtime`."""
        return self.steady + min(max(self.downtime(wall, booted), timedelta()), MAX_DOWNTIME)


class SteadyClock:
    """Steady time, and its offset to the wall clock.

    Args:
        wall_clock: the system's wall clock, in UTC.
        boot_clock: the time since the start of the machine; that of this one by default, if ``wall_clock``
            is its wall clock.
    """

    def __init__(
        self,
        wall_clock: Callable[[], datetime] = utc_now,
        boot_clock: Callable[[], BootTime | None] | None = None,
    ) -> None:
        self._wall_clock = wall_clock
        self._boot_clock = boot_clock or (read_boot_time if wall_clock is utc_now else _no_boot_time)
        self._seconds: Callable[[], float] | None = None  # monotonic
        self._origin = datetime.min.replace(tzinfo=UTC)  # steady time when `_seconds` was 0
        self._offset = timedelta()
        self._recorded: ClockRecord | None = None

    def resume(self, record: ClockRecord | None) -> None:
        """Start with the wall clock's time, or continue from the record of an earlier process.

        Without this call, the clock starts when it is first read.
        """
        wall = self._wall_clock()
        steady, offset = wall, timedelta()
        if record is not None:
            booted = self._boot_clock()
            downtime = record.downtime(wall, booted)
            steady = record.steady_at(wall, booted)
            offset = wall - steady
            if downtime > MAX_DOWNTIME:
                _log.warning(
                    "downtime_limited",
                    seconds=round(downtime.total_seconds(), 3),
                    counted_seconds=MAX_DOWNTIME.total_seconds(),
                )
            elif abs(offset - record.offset) > _STEP:
                _log_step(offset - record.offset)
        # The method of trio's clock, because `trio.current_time` cannot be called from another thread.
        self._seconds = trio.lowlevel.current_clock().current_time
        self._origin = steady - timedelta(seconds=self._seconds())
        self._offset = offset
        self._recorded = record

    def start_at(self, steady: datetime) -> None:
        """Start at the present of a clock that several processes share, instead of the wall clock's.

        Args:
            steady: the time of that clock.
        """
        self.resume(ClockRecord(steady, self._wall_clock() - steady))

    def now(self) -> datetime:
        """Return steady time, in UTC. Once the clock has started, any thread may call this."""
        if self._seconds is None:
            self.resume(None)
        assert self._seconds is not None
        return self._origin + timedelta(seconds=self._seconds())

    def offset(self) -> timedelta:
        """Return the wall clock minus steady time, as of the last step of the wall clock."""
        offset = self._wall_clock() - self.now()
        if abs(offset - self._offset) > _STEP:
            _log_step(offset - self._offset)
            self._offset = offset
        return self._offset

    def wall(self) -> datetime:
        """Return the time to show: steady time plus the offset."""
        return self.now() + self.offset()

    def due_record(self) -> ClockRecord | None:
        """Return a record if one is due to be stored: the first, after a step, and every ten seconds.

        It is due until :meth:`note_recorded` is called: after a step, a record that was not stored would let
        the next process take the step for a downtime.
        """
        steady, offset, last = self.now(), self.offset(), self._recorded
        if last is not None and offset == last.offset and steady < last.steady + _RECORD_INTERVAL:
            return None
        return ClockRecord(steady, offset, self._boot_clock())

    def note_recorded(self, record: ClockRecord) -> None:
        """Note that a record was stored."""
        self._recorded = record


def _log_step(step: timedelta) -> None:
    _log.warning("wall_clock_stepped", seconds=round(step.total_seconds(), 3))
