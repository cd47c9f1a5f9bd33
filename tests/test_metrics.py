"""Metrics: the bound on label values, and the histogram of deliveries."""

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from streamd.metrics import Metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_event_types_beyond_the_maximum_are_counted_as_other() -> None:
    metrics = Metrics(max_type_labels=2)
    for type in ("a", "b", "a", "c", "d"):
        metrics.count_published(type)
    found = [value(metrics, "streamd_events_published_total", type=type) for type in ("a", "b", "c", "other")]
    assert found == [2, 1, None, 2]


def test_long_event_types_are_cut_in_the_label() -> None:
    metrics = Metrics(max_type_labels=2)
    assert metrics.type_label("x" * 1000) == "x" * 64


def test_a_delivery_to_several_clients_counts_once_for_each() -> None:
    metrics = Metrics(max_type_labels=2)
    metrics.observe_delivery({"a": 2}, 0.02, clients=3)
    metrics.observe_delivery({"a": 1}, -0.001, clients=1)  # a clock that was set back
    assert value(metrics, "streamd_events_delivered_total", type="a") == 7
    assert value(metrics, "streamd_delivery_seconds_bucket", le="0.001") == 1
    assert value(metrics, "streamd_delivery_seconds_bucket", le="+Inf") == 4
    assert value(metrics, "streamd_delivery_seconds_sum") == pytest.approx(0.06)
    assert b"streamd_delivery_seconds_count 4.0" in generate_latest(metrics.registry)


@pytest.mark.parametrize("write", [generate_latest, generate_openmetrics])
def test_request_times_are_printed_as_by_a_histogram_of_prometheus(
    write: Callable[[CollectorRegistry], bytes],
) -> None:
    answers = [
        ("POST", "/events", 201, 0.0004),
        ("POST", "/events", 201, 0.001),  # a bound belongs to its own bucket
        ("POST", "/events", 503, 0.3),
        ("unknown", "unknown", 404, 11.0),
        ("POST", "/events", 201, 2.0),
    ]
    metrics = Metrics(max_type_labels=2)
    registry = CollectorRegistry()
    bounds = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
    labels = ("method", "route", "status")
    description = "Time to answer, by route; streams are not in it."
    wanted = Histogram("streamd_request_seconds", description, labels, registry=registry, buckets=bounds)
    for method, route, status, seconds in answers:
        metrics.observe_request(method, route, status, seconds)
        wanted.labels(method, route, status).observe(seconds)
    printed = lines_of(write(metrics.registry), "streamd_request_seconds")
    assert printed == lines_of(write(registry), "streamd_request_seconds")
    assert any("_created" in line for line in printed)


def lines_of(text: bytes, name: str) -> list[str]:
    """Return the lines about a metric, without the times at which its series began."""
    return [
        line.rpartition(" ")[0] if "_created{" in line else line
        for line in text.decode().splitlines()
        if name in line
    ]
