"""Prometheus metrics of one server, in a registry of their own.

The number of series is bounded: the first ``max_type_labels`` event types get a label value of their own,
all later ones are counted as ``other``.
"""

import bisect
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import attrs
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from .config import positive, tuning

OTHER: Final = "other"
_LABEL_CHARS_MAX: Final = 64  # longer types are cut: people read the labels
_BUCKETS_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


@attrs.frozen(kw_only=True)
class MetricsSettings:
    """The Prometheus endpoint (/metrics)."""

    max_type_labels: int = tuning(
        50,
        "Maximum number of event types with a label value of their own (count). Further ones are counted as "
        "`other`.",
        positive,
    )


class Metrics:
    """The metrics of one server. ``/metrics`` prints those of ``registry``.

    Args:
        max_type_labels: maximum number of event types with a label value of their own.
    """

    def __init__(self, *, max_type_labels: int) -> None:
        self.registry: Final = CollectorRegistry()
        self._max_type_labels = max_type_labels
        self._types: dict[str, str] = {}
        self.published: Final = _TypeCounter("events_published", "Events published, by type.")
        self.delivered: Final = _TypeCounter("events_delivered", "Events written to clients, by type.")
        self.registry.register(self.published)
        self.registry.register(self.delivered)
        self.merged: Final = self._counter(
            "events_merged", "Events replaced by a newer one under the overflow policy `latest`."
        )
        self.gaps: Final = self._counter(
            "gaps", "Gap notices: events were gone before a subscriber read them."
        )
        self.overflows: Final = self._counter(
            "subscription_overflows", "Full channels, by the policy that applied.", "policy"
        )
        self.refused: Final = self._counter("connections_refused", "Connections refused, by code.", "code")
        self.accept_pauses: Final = self._counter(
            "accept_pauses", "Accepting paused for a moment: no open files or memory for more connections."
        )
        self.idle_ended: Final = self._counter(
            "idle_connections_ended",
            "Connections without a request in progress that were ended because open files ran short.",
        )
        self.unreadable: Final = self._counter(
            "unreadable_records", "Stored records that cannot be decoded, each counted once.", "record"
        )
        self.reaped: Final = self._counter("connections_reaped", "Stale connections closed.")
        self._delivery_seconds: Final = _Times(
            "streamd_delivery_seconds",
            "From publish to the write to a client (millisecond resolution).",
            _BUCKETS_SECONDS,
        )
        self.registry.register(self._delivery_seconds)
        self.loop_pass_seconds: Final = _Times(
            "streamd_loop_pass_seconds",
            "Duration of a pass of the event loop: the time for which it accepts, reads and delivers nothing"
            " else.",
            _BUCKETS_SECONDS,
        )
        self.registry.register(self.loop_pass_seconds)
        self._request_seconds: Final = _RequestTimes(
            "streamd_request_seconds", "Time to answer, by route; streams are not in it.", _BUCKETS_SECONDS
        )
        self.registry.register(self._request_seconds)
        self.observe_request: Final = self._request_seconds.observe

    def _counter(self, name: str, help: str, *labels: str) -> Counter:
        return Counter(f"streamd_{name}", help, labels, registry=self.registry)

    def type_label(self, type: str) -> str:
        """Return the label value of an event type."""
        label = self._types.get(type)
        if label is None:
            if len(self._types) >= self._max_type_labels:
                return OTHER
            label = self._types[type] = type[:_LABEL_CHARS_MAX]
        return label

    def observe_delivery(self, types: Mapping[str, int], seconds: float, clients: int) -> None:
        """Count events that were written to several clients at once.

        Args:
            types: number of events of each type.
            seconds: time from publishing to the write, of the newest event (s).
            clients: number of clients that received them.
        """
        for type, count in types.items():
            self.delivered.add(self.type_label(type), count * clients)
        self._delivery_seconds.observe(max(0.0, seconds), clients)

    def count_published(self, type: str) -> None:
        """Count a published event by its type."""
        self.published.add(self._types.get(type) or self.type_label(type), 1)


class _TypeCounter(Collector):
    """A Prometheus counter with the label ``type``.

    Only one thread may add to it. So it needs no lock, and takes a tenth of the time of those that have one.
    """

    def __init__(self, name: str, help: str) -> None:
        self._name = f"streamd_{name}"
        self._help = help
        self._counts: dict[str, int] = {}
        self._created: dict[str, float] = {}  # s since 1970

    def add(self, label: str, count: int) -> None:
        if label in self._counts:
            self._counts[label] += count
        else:
            self._counts[label] = count
            self._created[label] = time.time()

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self._name, self._help, labels=["type"])
        for label, count in list(self._counts.items()):
            family.add_metric([label], count, created=self._created[label])
        yield family


class _Distribution:
    """The buckets of one series of a histogram.

    Only one thread may add to it. So it needs no lock, of which a ``Histogram`` takes two an observation.

    Args:
        bounds: upper bounds of the buckets (s), ascending; a last one has none.
    """

    __slots__ = ("_bounds", "_counts", "created", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.sum = 0.0
        self.created = time.time()  # s since 1970
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, value: float, times: int) -> None:
        """Record a number of equal observations at the cost of one."""
        self._counts[bisect.bisect_left(self._bounds, value)] += times
        self.sum += value * times

    def buckets(self) -> list[tuple[str, int]]:
        """Return the upper bounds as they are printed, each with the number of observations up to it."""
        names = [*(str(bound) for bound in self._bounds), "+Inf"]
        return list(zip(names, itertools.accumulate(self._counts), strict=True))


class _Times(Collector):
    """A Prometheus histogram without labels.

    Args:
        bounds: upper bounds of the buckets (s), ascending.
    """

    def __init__(self, name: str, help: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._help = help
        self._distribution = _Distribution(bounds)
        self.observe: Final = self._distribution.observe

    def collect(self) -> Iterator[Metric]:
        found = self._distribution
        yield HistogramMetricFamily(self._name, self._help, buckets=found.buckets(), sum_value=found.sum)


class _RequestTimes(Collector):
    """A Prometheus histogram with the labels ``method``, ``route`` and ``status``.

    Args:
        bounds: upper bounds of the buckets (s), ascending.
    """

    def __init__(self, name: str, help: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._help = help
        self._bounds = bounds
        self._series: dict[tuple[str, str, int], _Distribution] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Record the time to answer one request (s). The labels must come from a bounded number of values."""
        labels = method, route, status
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = _Distribution(self._bounds)
        series.observe(seconds, 1)

    def collect(self) -> Iterator[Metric]:
        metric = Metric(self._name, self._help, "histogram")
        for (method, route, status), series in list(self._series.items()):
            labels = {"method": method, "route": route, "status": str(status)}
            buckets = series.buckets()
            for bound, count in buckets:
                metric.add_sample(f"{self._name}_bucket", {**labels, "le": bound}, count)
            metric.add_sample(f"{self._name}_count", labels, buckets[-1][1])
            metric.add_sample(f"{self._name}_sum", labels, series.sum)
            metric.add_sample(f"{self._name}_created", labels, series.created)
        yield metric
