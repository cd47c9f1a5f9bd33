"""Tasks: workers report over HTTP, and clients follow the task streams."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import attrs

from ..figures import Figures, of_deliveries
from ..load import Load
from ..peers import PEERS, Peer, Running
from .base import LATENCIES, Ratio, Scenario, setup_for
from .followers import Delivery, Followers, count, quantiles
from .service import MEMORY, SQLITE, SQLITE_STORE, JSONConnection, paced

_COLUMNS: Final = (
    "cpu_us_per_delivery",
    "cpu_us_per_report",
    "deliveries_per_second",
    *LATENCIES,
    "answered_p99_ms",
)
_FLOOR: Final = next(peer for peer in PEERS if peer.name == "floor")
_FLOOR_BYTES: Final = 200  # filler that makes the floor's events as long as a task's messages
_WORKERS: Final = 10  # reporting connections in `tasks-many` (count)
_END_TEXT: Final = "event: complete\n"


@attrs.define
class ReportedTask:
    """One task, and the reports of its worker."""

    task_id: str
    lease: str
    reports: int  # number of reports to send; the last one completes the task
    versions: list[int] = attrs.field(factory=list)  # of the acknowledged reports
    answered_ms: list[float] = attrs.field(factory=list)  # from a report to its answer

    @classmethod
    def create(cls, api: JSONConnection, reports: int) -> "ReportedTask":
        """Create a task for this worker."""
        task = api.call("POST", "/tasks", {"kind": "bench", "worker": "bench"})
        return cls(task["id"], task["lease"], reports)

    @property
    def path(self) -> str:
        return f"/tasks/{self.task_id}/events"

    def report(self, api: JSONConnection) -> None:
        """Send the next report, which carries the time just before it is sent."""
        number = len(self.versions) + 1
        report: dict[str, Any] = {"lease": self.lease}
        sent_ns = time.monotonic_ns()
        if number < self.reports:
            report["progress"] = 100 * number / self.reports
            report["message"] = f"{number} of {self.reports} parts are done"
            report["fields"] = {"sent": sent_ns}
        else:
            report |= {"status": "completed", "result": {"sent": sent_ns}}
        self.versions.append(api.call("PATCH", f"/tasks/{self.task_id}", report)["version"])
        self.answered_ms.append((time.monotonic_ns() - sent_ns) / 1e6)


def measure_one(peer: Peer, load: Load) -> Figures:
    """Measure one task that all clients follow; with the floor, one stream of plain events.

    Raises:
        RuntimeError: something failed.
    """
    if peer is _FLOOR:
        return _measure_floor(peer, load)
    with peer.start(setup_for(load)) as server, JSONConnection(server, load.deadline_seconds) as api:
        work = ReportedTask.create(api, load.events)

        def report_all() -> None:
            for _ in paced(load.events, load.rate, time.monotonic()):
                work.report(api)

        return _measure(server, load, [work] * load.clients, report_all)


def measure_many(peer: Peer, load: Load) -> Figures:
    """Measure tasks with one client each; ``events`` and ``rate`` are the totals of all tasks.

    Raises:
        RuntimeError: something failed.
    """
    with peer.start(setup_for(load)) as server:
        with JSONConnection(server, load.deadline_seconds) as api:
            works = [ReportedTask.create(api, load.events // load.clients) for _ in range(load.clients)]

        def report(first: int, began: float) -> None:
            with JSONConnection(server, load.deadline_seconds) as api:
                for number in paced(load.events, load.rate, began, first=first, step=_WORKERS):
                    works[number % load.clients].report(api)

        def report_all() -> None:
            with ThreadPoolExecutor(_WORKERS) as workers:
                for done in [workers.submit(report, each, time.monotonic()) for each in range(_WORKERS)]:
                    done.result()

        return _measure(server, load, works, report_all)


def _measure(
    server: Running, load: Load, works: Sequence[ReportedTask], report_all: Callable[[], None]
) -> Figures:
    """Measure one run, in which client n follows ``works[n]``."""
    paths = [work.path for work in works]
    with Followers(server, paths, load.deadline_seconds, last=_END_TEXT) as followers:
        followers.connected()
        time.sleep(load.settle_seconds)
        before = server.sample()
        began_ns = time.monotonic_ns()
        report_all()
        seen = followers.done()
        after = server.sample()
    expected = [work.versions for work in works]
    outcome = count(seen.clients, expected, _version, _delay_ms, seen.cpu_seconds)
    cpu_seconds = after.cpu_seconds - before.cpu_seconds
    answered = [delay for work in {id(work): work for work in works}.values() for delay in work.answered_ms]
    return {
        **of_deliveries(outcome, began_ns, cpu_seconds),
        "cpu_us_per_report": cpu_seconds / load.events * 1e6,
        **quantiles("answered", answered),
        "reader_cpu_us_per_delivery": seen.cpu_seconds / outcome.deliveries * 1e6,
    }


def _version(event: Delivery) -> int | None:
    """Return the version in a message; None for control frames, and for snapshots, which are no reports."""
    if not event.id or not isinstance(event.data, dict) or "snapshot" in event.data:
        return None
    return int(event.data["version"])


def _delay_ms(event: Delivery) -> float:
    fields = event.data["result"] if event.type == "complete" else event.data
    return (event.read_ns - int(fields["sent"])) / 1e6


def _measure_floor(peer: Peer, load: Load) -> Figures:
    """Measure the same clients, rate and event size on the floor: the cost without streamd."""
    last = f"data: bench {load.events - 1} "
    with peer.start(setup_for(load)) as server:
        paths = [peer.subscribe_path] * load.clients
        with Followers(server, paths, load.deadline_seconds, last=last) as followers:
            followers.connected()
            time.sleep(load.settle_seconds)
            with server.publisher(load.deadline_seconds) as publisher:
                before = server.sample()
                began_ns = time.monotonic_ns()
                publisher.publish_each(range(load.events), payload_bytes=_FLOOR_BYTES, rate=load.rate)
                seen = followers.done()
                after = server.sample()
    expected = [range(load.events)] * load.clients
    outcome = count(seen.clients, expected, partial(_floor_word, index=1), _floor_delay_ms, seen.cpu_seconds)
    return {
        **of_deliveries(outcome, began_ns, after.cpu_seconds - before.cpu_seconds),
        "reader_cpu_us_per_delivery": seen.cpu_seconds / outcome.deliveries * 1e6,
    }


def _floor_word(event: Delivery, index: int) -> int:
    """Return the number (index 1) or time (2) in an event of :mod:`bench.publisher`."""
    return int(event.data.split()[index])


def _floor_delay_ms(event: Delivery) -> float:
    return (event.read_ns - _floor_word(event, 2)) / 1e6


TASKS: Final = Scenario(
    name="tasks",
    title="100 clients follow one task, whose worker reports 20 times a second for 20 s",
    load=Load(clients=100, events=400, rate=20.0),
    quick=Load(clients=20, events=20, rate=40.0, settle_seconds=0.1),
    measure=measure_one,
    columns=_COLUMNS,
    ratios=(Ratio("cpu_us_per_delivery", "floor"), Ratio("latency_p99_ms", "floor")),
    all_peers=(SQLITE, SQLITE_STORE, MEMORY, _FLOOR),
)
TASKS_MANY: Final = Scenario(
    name="tasks-many",
    title="100 tasks of one client each, 200 reports a second in all for 20 s on 10 connections",
    load=Load(clients=100, events=4_000, rate=200.0),
    quick=Load(clients=20, events=100, rate=100.0, settle_seconds=0.1),
    measure=measure_many,
    columns=_COLUMNS,
    ratios=(Ratio("latency_p99_ms", "streamd memory"), Ratio("cpu_us_per_report", "streamd memory")),
    all_peers=(SQLITE, SQLITE_STORE, MEMORY),
)
