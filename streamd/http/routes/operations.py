"""Health and metrics, for operators."""

from collections.abc import Iterable

import trio
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from quart import Blueprint
from quart_schema import document_response
from quart_trio.wrappers import TrioResponse

from ...broker import Broker
from ...errors import ShuttingDown
from .. import schema
from ..callers import demand_admin
from ..current import current_runtime
from ..json import json_response
from ..problems import document_problems

operations = Blueprint("streamd_operations", __name__)


@operations.get("/health/live")
@document_response(schema.HealthSchema, 200)
async def live() -> TrioResponse:
    """Report that the process answers requests."""
    return json_response({"status": "alive"})


@operations.get("/health/ready")
@document_response(schema.Readiness, 200)
@document_problems(503)
async def ready() -> TrioResponse:
    """Report whether the server does its work: 503 with the reason during a shutdown, or without a store."""
    runtime = current_runtime()
    broker = runtime.broker
    if broker.connections.draining:
        raise ShuttingDown("the server is shutting down", retry_after_seconds=1)
    await runtime.check_storage()
    return json_response({"status": "ready", "head": broker.log.head, "durability": broker.log.durability})


@operations.get("/metrics")
@document_response(schema.MetricsText, 200)
@document_problems(401, 403, 503)
async def metrics() -> TrioResponse:
    """Return all metrics in the Prometheus text format."""
    await demand_admin()
    text = generate_latest(current_runtime().broker.metrics.registry)
    headers = {"Cache-Control": "no-store"}
    return TrioResponse(text, content_type=CONTENT_TYPE_LATEST, headers=headers)


class StateCollector(Collector):
    """Gauges that are read from the broker at each scrape."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def describe(self) -> Iterable[Metric]:
        return []  # defined, because the registry would otherwise call collect(), which needs trio

    def collect(self) -> Iterable[Metric]:
        registry = self._broker.connections
        connections = GaugeMetricFamily(
            "streamd_connections", "Connections now.", labels=("transport", "health")
        )
        counts: dict[tuple[str, str], int] = {}
        for connection in registry:
            key = (connection.transport, connection.health.value)
            counts[key] = counts.get(key, 0) + 1
        for labels, count in counts.items():
            connections.add_metric(labels, count)
        yield connections
        hub = self._broker.hub.statistics()
        yield GaugeMetricFamily("streamd_subscriptions", "Subscriptions now.", hub["subscriptions"])
        yield GaugeMetricFamily(
            "streamd_subscriptions_lagging", "Subscriptions reading from the log.", hub["lagging"]
        )
        yield GaugeMetricFamily(
            "streamd_events_ahead", "Events published and not yet fanned out.", hub["ahead"]
        )
        budget = self._broker.hub.replay_budget
        yield GaugeMetricFamily(
            "streamd_replays_waiting",
            "Subscriptions that wait for their turn to read the log.",
            budget.waiting,
        )
        yield GaugeMetricFamily(
            "streamd_replay_bytes",
            "Size of the pages that subscriptions have read and not sent.",
            budget.kept_bytes,
        )
        kept = self._broker.log.statistics()
        yield GaugeMetricFamily("streamd_log_events", "Events that the log keeps.", kept["events"])
        yield GaugeMetricFamily(
            "streamd_log_bytes", "Size of the topics, types and data that the log keeps.", kept["bytes"]
        )
        yield GaugeMetricFamily(
            "streamd_log_topics", "Topics of the events that the log keeps.", kept["topics"]
        )
        yield GaugeMetricFamily(
            "streamd_loop_seconds", "Trio's clock, to see that the loop turns.", trio.current_time()
        )
