"""The counters of tasks, in the registry that ``/metrics`` prints."""

from collections import Counter as Counts
from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .states import Status

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_KINDS_MAX: Final = 100  # kinds with a label of their own; clients choose the names of kinds
_OTHER: Final = "other"
_COUNTS_MAX: Final = 1000  # kinds and statuses, beyond which those without a task are forgotten


class TaskMetrics(Collector):
    """The counters of one store's tasks.

    Attributes:
        counts: tasks by kind and status.
        stored: number of tasks; of a store that others use, too, only the changes of this process are in it.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.counts: Counts[tuple[str, Status]] = Counts()
        self.stored = 0
        self.store_seconds: Final = Histogram(
            "streamd_task_store_seconds",
            "Time of a store call that changes a task, up to its commit.",
            registry=registry,
            buckets=_SECONDS,
        )
        self.expired: Final = _counter(registry, "tasks_expired", "Ended tasks that were deleted.")
        self.stalled: Final = _counter(
            registry, "task_leases_stalled", "Tasks that failed because their lease ran out."
        )
        self.timeouts: Final = _counter(registry, "task_timeouts", "Tasks that failed at their deadline.")
        self.publish_failures: Final = _counter(
            registry,
            "task_publish_failures",
            "Failed attempts to publish events of tasks; each is retried.",
        )
        self.ending_failures: Final = _counter(
            registry,
            "task_ending_failures",
            "Failed calls of a kind at the end of one of its tasks; each is repeated.",
        )
        self.refused_messages: Final = _counter(
            registry,
            "task_messages_reduced",
            "Events of tasks that exceeded a limit: reduced on the task's own topic, dropped on others.",
        )
        self.fill: Final = Gauge(
            "streamd_tasks_fill_ratio",
            "Stored tasks of all kinds, as a part of their maximum (0 to 1), at the last sweep.",
            registry=registry,
        )
        self.outbox_depth: Final = Gauge(
            "streamd_task_outbox_depth",
            "Rows of the task outbox: events to publish, and tasks that are ending.",
            registry=registry,
        )
        registry.register(self)

    def load(self, counts: Mapping[tuple[str, Status], int]) -> None:
        """Begin with the tasks that are stored."""
        self.counts.clear()
        self.counts.update(counts)
        self.stored = self.counts.total()

    def note_expired(self, tasks: int) -> None:
        """Count tasks that were deleted, and forget the kinds that have none, whose names clients chose."""
        self.expired.inc(tasks)
        self.stored -= tasks
        if len(self.counts) > _COUNTS_MAX:
            for key in [key for key, count in self.counts.items() if count <= 0]:
                del self.counts[key]

    def describe(self) -> Iterable[Metric]:
        return []  # so that registering does not collect

    def collect(self) -> Iterable[Metric]:
        tasks = GaugeMetricFamily(
            "streamd_tasks", "Stored tasks, by kind and status.", labels=("kind", "status")
        )
        shown: Counts[tuple[str, Status]] = Counts()
        kinds: set[str] = set()
        for (kind, status), count in sorted(self.counts.items()):
            if kind not in kinds and len(kinds) >= _KINDS_MAX:
                kind = _OTHER  # noqa: PLW2901 - counted under a shared name
            kinds.add(kind)
            shown[kind, status] += count
        for (kind, status), count in shown.items():
            tasks.add_metric((kind, status.value), count)
        yield tasks


def _counter(registry: CollectorRegistry, name: str, help: str) -> Counter:
    return Counter(f"streamd_{name}", help, registry=registry)
