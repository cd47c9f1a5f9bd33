"""Metrics: the bound on label values, and the histogram of deliveries."""

import pytest
from prometheus_client import generate_latest

from streamd.metrics import Metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_event_types_beyond_the_maximum_are_counted_as_other() -> None:
    metrics = Metrics(max_type_labels=2)
    metrics.count_published(["a", "b", "a", "c", "d"])
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
