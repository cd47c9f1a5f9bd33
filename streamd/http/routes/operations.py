"""Health and metrics, for operators."""

from collections.abc import Iterable
from typing import Final

import trio
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from quart import Blueprint
from quart_schema import document_response

from ...broker import Broker
from ...errors import ShuttingDown
from .. import schema
from ..hot.answer import NO_STORE, HTTPAnswer, json_answer
from ..hot.request import HTTPRequest
from ..hot.view import hot
from ..problems import document_problems

operations = Blueprint("streamd_operations", __name__)

_METRICS_HEADERS: Final = ((b"content-type", CONTENT_TYPE_LATEST.encode()), NO_STORE)


@operations.get("/health/live")
@document_response(schema.HealthSchema, 200)
@hot
async def live(_request: HTTPRequest) -> HTTPAnswer:
    """Report that the process answers requests."""
    return json_answer({"status": "alive"})


@operations.get("/health/ready")
@document_response(schema.Readiness, 200)
@document_problems(503)
@hot
async def ready(request: HTTPRequest) -> HTTPAnswer:
    """Report whether the server does its work: 503 with the reason during a shutdown, or without a store."""
    runtime = request.runtime
    broker = runtime.broker
    if broker.connections.draining:
        raise ShuttingDown("the server is shutting down", retry_after_seconds=1)
    await runtime.check_storage()
    return json_answer({"status": "ready", "head": broker.log.head, "durability": broker.log.durability})


@operations.get("/metrics")
@document_response(schema.MetricsText, 200)
@document_problems(401, 403, 503)
@hot
async def metrics(request: HTTPRequest) -> HTTPAnswer:
    """Return all metrics in the Prometheus text format."""
    request.runtime.access.demand_admin(await request.identify())
    return HTTPAnswer(200, _METRICS_HEADERS, generate_latest(request.runtime.broker.metrics.registry))


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
