"""Figures of this machine, taken with psutil."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import psutil

T = TypeVar("T")

Counters = Mapping[str, tuple[int, ...]]
"""Growing byte counters by device, such as ``{"eth0": (received, sent)}``."""

PERCENT_DIGITS = 1
"""Figures are rounded where a further digit would only be noise."""


class CpuTime(NamedTuple):
    """Seconds one core has spent since boot."""

    busy: float
    total: float


class Counts(NamedTuple):
    """What one sample keeps for the next, to make rates of."""

    at: float  # monotonic seconds
    cores: list[CpuTime] | None
    disk: Counters | None
    network: Counters | None


class HostSampler:
    """Take this machine's figures, with rates since the sample before.

    The first sample has no sample before it, so its rates and CPU percentages are None. So is a rate whose
    counter went backwards (a device that came back, a counter that wrapped), and every figure that this
    system does not give, as some containers hide ``/proc/diskstats``.

    Not safe to be used from two threads at once; from one thread after another it is.

    Args:
        monotonic: the clock that rates are measured against (s).
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._started = monotonic()
        self._previous: Counts | None = None

    def sample(self) -> dict[str, Any]:
        """Return the figures of this moment as a JSON object; units are in the names.

        Blocks for about a millisecond while it reads ``/proc``: call it in a thread.
        """
        before, now = self._previous, self._count()
        self._previous = now
        seconds = now.at - before.at if before else 0.0
        cpu = _percent_busy(before.cores if before else None, now.cores)
        disk = _rates(before.disk if before else None, now.disk, seconds)
        network = _rates(before.network if before else None, now.network, seconds)
        boot = _figure(psutil.boot_time)
        wall = datetime.now(UTC)
        return {
            "timestamp": _rfc3339(wall),
            "interval_seconds": round(seconds, 3) if before else None,
            "cpu": {
                "percent": cpu[0] if cpu else None,
                "per_core_percent": cpu[1] if cpu else None,
                "load_average": _figure(_load_average),
            },
            "memory": _figure(_memory),
            "swap": _figure(_swap),
            "disk": {
                "read_bytes_per_second": disk[0] if disk else None,
                "written_bytes_per_second": disk[1] if disk else None,
                "root": _figure(_root_usage),
            },
            "network": {
                "received_bytes_per_second": network[0] if network else None,
                "sent_bytes_per_second": network[1] if network else None,
            },
            "uptime": {
                "booted_at": _rfc3339(datetime.fromtimestamp(boot, UTC)) if boot is not None else None,
                "machine_seconds": round(wall.timestamp() - boot) if boot is not None else None,
                "process_seconds": round(now.at - self._started, 1),
            },
        }

    def _count(self) -> Counts:
        return Counts(self._monotonic(), _figure(_cores), _figure(_disk_counters), _figure(_network_counters))


def _figure(read: Callable[[], T]) -> T | None:
    """One reading, or None where this system does not give it."""
    try:
        return read()
    except (OSError, NotImplementedError, AttributeError, psutil.Error):
        return None


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- CPU: own deltas, because psutil.cpu_percent() remembers its last call by thread, and the threads of a
# pool take turns: a thread that is new to it would report 0 %


def _cores() -> list[CpuTime]:
    return [_cpu_time(times) for times in psutil.cpu_times(percpu=True)]


def _cpu_time(times: Any) -> CpuTime:
    # On Linux guest time is part of user time as well, and waiting for the disk is no work.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return CpuTime(total - times.idle - getattr(times, "iowait", 0.0), total)


def _percent_busy(
    before: list[CpuTime] | None, now: list[CpuTime] | None
) -> tuple[float, list[float]] | None:
    """Percent of all cores together, and of each; None without two samples of the same cores."""
    if before is None or now is None or len(before) != len(now):
        return None
    # iowait may run backwards a little (proc(5)), hence the floor at zero.
    spent = [
        CpuTime(max(0.0, new.busy - old.busy), max(0.0, new.total - old.total))
        for old, new in zip(before, now, strict=True)
    ]
    if not any(core.total for core in spent):
        return None
    whole = CpuTime(sum(core.busy for core in spent), sum(core.total for core in spent))
    return _percent(whole), [_percent(core) for core in spent]


def _percent(spent: CpuTime) -> float:
    if not spent.total:
        return 0.0
    return round(min(100.0, 100.0 * spent.busy / spent.total), PERCENT_DIGITS)


# --- rates ---------------------------------------------------------------------------------------


def _disk_counters() -> Counters | None:
    counters = psutil.disk_io_counters()
    return {"": (counters.read_bytes, counters.write_bytes)} if counters else None


def _network_counters() -> Counters | None:
    """By interface, the loopback left out: what a machine says to itself is no traffic of the network."""
    counters = psutil.net_io_counters(pernic=True)
    outside = {name: nic for name, nic in counters.items() if name not in ("lo", "lo0")}
    return {name: (nic.bytes_recv, nic.bytes_sent) for name, nic in outside.items()} or None


def _rates(before: Counters | None, now: Counters | None, seconds: float) -> tuple[float, ...] | None:
    """Bytes a second, summed over the devices seen both times; None when a counter went backwards."""
    if before is None or now is None or seconds <= 0:
        return None
    grown = [
        [new - old for old, new in zip(before[key], now[key], strict=True)] for key in now if key in before
    ]
    if not grown or any(bytes_ < 0 for device in grown for bytes_ in device):
        return None
    return tuple(round(sum(column) / seconds, 1) for column in zip(*grown, strict=True))


# --- states --------------------------------------------------------------------------------------


def _load_average() -> list[float]:
    return [round(load, 2) for load in psutil.getloadavg()]


def _memory() -> dict[str, float]:
    memory = psutil.virtual_memory()
    # "used" as total less available, so that it agrees with the percentage: the cache is not in use.
    return {
        "total_bytes": memory.total,
        "used_bytes": memory.total - memory.available,
        "percent": memory.percent,
    }


def _swap() -> dict[str, float]:
    swap = psutil.swap_memory()
    return {"total_bytes": swap.total, "used_bytes": swap.used, "percent": swap.percent}


def _root_usage() -> dict[str, float]:
    usage = psutil.disk_usage("/")
    return {"total_bytes": usage.total, "used_bytes": usage.used, "percent": usage.percent}
