"""The figures: their headings and units, and the combination of several runs."""

import statistics
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from .clients import Outcome

# The figures of one run, by the names below.
Figures = Mapping[str, float]

LOSS: Final = ("missing", "repeated", "disordered")


@attrs.frozen
class Figure:
    """The presentation of a figure."""

    heading: str  # of its column
    about: str
    digits: int = 0
    divisor: float = 1.0  # from the unit in the name to that of the heading


FIGURES: Final[Mapping[str, Figure]] = {
    "cpu_us_per_delivery": Figure("CPU µs/\ndelivery", "CPU of the server per delivery", 2),
    "deliveries_per_second": Figure("deliveries\n/s", "deliveries a second"),
    "latency_p50_ms": Figure("p50\nms", "median delay", 2),
    "latency_p99_ms": Figure("p99\nms", "99th percentile of the delay", 2),
    "latency_max_ms": Figure("max\nms", "longest delay", 1),
    "connects_per_second": Figure("connects\n/s", "connects a second"),
    "memory_bytes_per_connection": Figure("memory/\nconn. kB", "memory of the server a connection", 1, 1e3),
    "cpu_us_per_connect": Figure("CPU µs/\nconnect", "CPU of the server per connect"),
    "missing": Figure("missing", "deliveries that did not arrive"),
    "repeated": Figure("repeated", "deliveries that arrived again"),
    "disordered": Figure("disordered", "deliveries out of order"),
    "published_single_per_second": Figure("single\nPOSTs/s", "events published a second, each its own POST"),
    "published_many_per_second": Figure(
        "POSTs/s\n64 conn.", "events published a second, each its own POST, on 64 connections"
    ),
    "published_array_per_second": Figure("arrays of\n100: /s", "events published a second in arrays of 100"),
    "published_ndjson_per_second": Figure("NDJSON of\n10,000: /s", "events published a second in NDJSON"),
    "answered_p99_ms": Figure("answer\np99 ms", "99th percentile of the answers to single requests", 2),
    "answered_many_p99_ms": Figure(
        "p99 ms\n64 conn.", "99th percentile of the answers to single POSTs on 64 connections", 2
    ),
    "cpu_us_per_publish": Figure("CPU µs/\nPOST", "CPU of the server per single POST"),
    "cpu_us_per_publish_of_many": Figure(
        "CPU µs/\n64 conn.", "CPU of the server per single POST on 64 connections"
    ),
    "cpu_us_per_array_event": Figure("CPU µs/\narray ev.", "CPU of the server per event of an array", 1),
    "cpu_us_per_ndjson_event": Figure("CPU µs/\nNDJSON ev.", "CPU of the server per event of NDJSON", 1),
    "cpu_us_per_report": Figure("CPU µs/\nreport", "CPU of the server per report, deliveries included"),
    "replaying_p99_ms": Figure("replaying\np99 ms", "99th percentile while another client replays", 2),
    "replaying_max_ms": Figure("replaying\nmax ms", "longest delay while another client replays", 1),
    "replayed_per_second": Figure("replayed\n/s", "events a second to the replaying client"),
    "quiet_p99_ms": Figure(
        "quiet\np99 ms", "99th percentile without a storm, a replay or stalled readers", 2
    ),
    "quiet_max_ms": Figure("quiet\nmax ms", "longest delay without a storm, a replay or stalled readers", 1),
    "connecting_p99_ms": Figure("connecting\np99 ms", "99th percentile while the others connect", 2),
    "connecting_max_ms": Figure("connecting\nmax ms", "longest delay while the others connect", 1),
    "reconnecting_p99_ms": Figure("reconn.\np99 ms", "99th percentile while the others reconnect", 2),
    "reconnecting_max_ms": Figure("reconn.\nmax ms", "longest delay while the others reconnect", 1),
    "storm_connects_per_second": Figure("storm\nconnects/s", "connects a second, all at once"),
    "storm_reconnects_per_second": Figure("storm\nreconn./s", "reconnects a second, all at once"),
    "storm_connect_seconds": Figure("storm\nall in s", "time until all are connected", 2),
    "storm_reconnect_seconds": Figure("storm\nall back s", "time until all are connected again", 2),
    "rss_start_bytes": Figure("RSS MB\nstart", "resident memory of the server at the start", 1, 1e6),
    "rss_middle_bytes": Figure("RSS MB\nmiddle", "resident memory of the server in the middle", 1, 1e6),
    "rss_end_bytes": Figure("RSS MB\nend", "resident memory of the server at the end", 1, 1e6),
    "tcp_start_bytes": Figure("TCP MB\nstart", "the kernel's TCP memory at the start", 1, 1e6),
    "tcp_middle_bytes": Figure("TCP MB\nmiddle", "the kernel's TCP memory in the middle", 1, 1e6),
    "tcp_end_bytes": Figure("TCP MB\nend", "the kernel's TCP memory at the end", 1, 1e6),
}


def of_deliveries(outcome: Outcome, began_ns: int, cpu_seconds: float) -> dict[str, float]:
    """Compute the figures of a fan-out.

    Args:
        outcome: counts and delays of the clients.
        began_ns: time at which publishing began (ns, monotonic clock).
        cpu_seconds: CPU time of the server from then to the last delivery (s).

    Raises:
        RuntimeError: nothing was delivered.
    """
    if not outcome.deliveries:
        raise RuntimeError("no event arrived")
    return {
        "cpu_us_per_delivery": cpu_seconds / outcome.deliveries * 1e6,
        "deliveries_per_second": outcome.deliveries / ((outcome.last_ns - began_ns) / 1e9),
        "latency_p50_ms": outcome.p50_ns / 1e6,
        "latency_p99_ms": outcome.p99_ns / 1e6,
        "latency_max_ms": outcome.max_ns / 1e6,
        **loss([outcome]),
    }


def loss(outcomes: Iterable[Outcome]) -> dict[str, float]:
    """Sum up the lost, repeated and disordered events of several outcomes."""
    outcomes = list(outcomes)
    return {name: float(sum(getattr(outcome, name) for outcome in outcomes)) for name in LOSS}


def combine(runs: Iterable[Figures]) -> dict[str, float]:
    """Combine runs: the maximum of losses, the median of all other figures."""
    runs = list(runs)
    return {
        name: (max if name in LOSS else statistics.median)([run[name] for run in runs]) for name in runs[0]
    }
