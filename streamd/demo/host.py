"""CPU, memory, disk and network figures of this machine, read with psutil."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import psutil

T = TypeVar("T")

Counters = Mapping[str, tuple[int, ...]]
"""Growing byte counters by device, such as ``{"eth0": (received, sent)}``."""

PERCENT_DIGITS = 1
"""A further digit of a percentage would be noise."""


class CpuTime(NamedTuple):
    """The time of one core since boot (s)."""

    busy: float
    total: float


class Counts(NamedTuple):
    """The counters of one sample, from which the next one makes rates."""

    at: float  # monotonic seconds
    cores: list[CpuTime] | None
    disk: Counters | None
    network: Counters | None


class HostSampler:
    """Samples this machine's figures, with rates since the previous sample.

    The rates and CPU percentages of the first sample are None. So are a rate whose counter went backwards (a
    device was replaced, a counter wrapped) and every figure that this system does not have: some containers
    hide ``/proc/diskstats``.

    Must not be used by two threads at the same time.

    Args:
        monotonic: the clock for the rates (s).
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._started = monotonic()
        self._previous: Counts | None = None

    def sample(self) -> dict[str, Any]:
        """Return the current figures as a JSON object; units are in the names.

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
    """Return one reading, or None on a system that does not have it."""
    try:
        return read()
    except (OSError, NotImplementedError, AttributeError, psutil.Error):
        return None


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- CPU. psutil.cpu_percent() keeps its last call by thread, and samples run in the threads of a pool: a
# thread's first call would report 0 %. So the differences are made here.


def _cores() -> list[CpuTime]:
    return [_cpu_time(times) for times in psutil.cpu_times(percpu=True)]


def _cpu_time(times: Any) -> CpuTime:
    # On Linux guest time is also counted as user time, and waiting for the disk is not work.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return CpuTime(total - times.idle - getattr(times, "iowait", 0.0), total)


def _percent_busy(
    before: list[CpuTime] | None, now: list[CpuTime] | None
) -> tuple[float, list[float]] | None:
    """Return the percentage of all cores and of each; None without two samples of the same cores."""
    if before is None or now is None or len(before) != len(now):
        return None
    # iowait may decrease (proc(5)), hence the floor at zero.
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
    """Return the counters of each interface but loopback, which is no network traffic."""
    counters = psutil.net_io_counters(pernic=True)
    outside = {name: nic for name, nic in counters.items() if name not in ("lo", "lo0")}
    return {name: (nic.bytes_recv, nic.bytes_sent) for name, nic in outside.items()} or None


def _rates(before: Counters | None, now: Counters | None, seconds: float) -> tuple[float, ...] | None:
    """Return bytes per second, summed over the devices of both samples; None if a counter went backwards."""
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
    # Total less available, to agree with the percentage: the page cache does not count as used.
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
