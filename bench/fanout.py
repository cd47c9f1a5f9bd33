"""Fan-out: every event of one topic to every one of many subscribers."""

import http.client
import json
import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Any

import attrs

from .client import Outcome, run_clients
from .server import Server, run_server

TOPIC = "bench"


@attrs.frozen(kw_only=True)
class Load:
    """What is asked of the server."""

    clients: int
    events: int
    rate: float = 0.0  # events a second; 0: the next as soon as the last is acknowledged
    payload_bytes: int = 100
    deadline_seconds: float = 300.0


@attrs.frozen(kw_only=True)
class Figures:
    """What one run measured. The field names carry the units."""

    deliveries_per_second: float
    latency_p50_ms: float
    latency_p99_ms: float
    latency_max_ms: float
    cpu_us_per_delivery: float  # of the server process, user and system
    memory_bytes_per_connection: float  # resident, of the server process
    connects_per_second: float
    missing: int
    disordered: int


def measure_fanout(load: Load) -> Figures:
    """One run against a fresh server.

    Raises:
        RuntimeError: the server or the load process failed.
    """
    with run_server(load.clients) as server:
        near, far = multiprocessing.Pipe()
        arguments = (far, server.host, server.port, TOPIC, load.clients, load.events, load.deadline_seconds)
        process = multiprocessing.get_context("spawn").Process(target=run_clients, args=arguments)
        before = server.sample()
        process.start()
        far.close()
        try:
            return _run(load, server, near, before.rss_bytes)
        finally:
            process.kill()
            process.join()


def _run(load: Load, server: Server, pipe: Connection, rss_before: int) -> Figures:
    connect_seconds: float = _expect(pipe, "connected")
    connected = server.sample()
    began_ns = time.monotonic_ns()
    _publish(load, server)
    outcome: Outcome = _expect(pipe, "done")
    ended = server.sample()
    delays = sorted(outcome.delays_ns)
    deliveries = len(delays)
    if not deliveries:
        raise RuntimeError("no event arrived")
    return Figures(
        deliveries_per_second=deliveries / ((outcome.last_ns - began_ns) / 1e9),
        latency_p50_ms=delays[deliveries // 2] / 1e6,
        latency_p99_ms=delays[min(deliveries - 1, deliveries * 99 // 100)] / 1e6,
        latency_max_ms=delays[-1] / 1e6,
        cpu_us_per_delivery=(ended.cpu_seconds - connected.cpu_seconds) / deliveries * 1e6,
        memory_bytes_per_connection=(connected.rss_bytes - rss_before) / load.clients,
        connects_per_second=load.clients / connect_seconds,
        missing=outcome.missing,
        disordered=outcome.disordered,
    )


def _expect(pipe: Connection, name: str) -> Any:
    try:
        said, value = pipe.recv()
    except EOFError:
        raise RuntimeError("the load process failed; its message is above") from None
    assert said == name
    return value


def _publish(load: Load, server: Server) -> None:
    """Publish by POST on one kept-alive connection."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=load.deadline_seconds)
    filler = "x" * load.payload_bytes
    began = time.monotonic()
    for number in range(load.events):
        if load.rate:
            time.sleep(max(0.0, began + number / load.rate - time.monotonic()))
        body = json.dumps({"topic": TOPIC, "data": f"bench {number} {time.monotonic_ns()} {filler}"})
        connection.request("POST", "/events", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 201:
            raise RuntimeError(f"publishing was refused: {answer.status} {answer.read()[:200]!r}")
        answer.read()
    connection.close()
