"""CPU, memory and time of a page that receives 10,000 events over HTTP/1.1."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
import psutil
from playwright.sync_api import Browser, CDPSession

from .clients import BrowserClient
from .faults.base import Cell, Rig
from .server import Server
from .tabs import Tab, chromium

EVENTS: Final = 10_000
PACED_PER_SECOND: Final = 500
_BATCH_EVENTS: Final = 500  # of one POST, before the client connects
_DEADLINE_SECONDS: Final = 120.0
_SETTLE_SECONDS: Final = 1.0  # from loading the page until it is idle


@attrs.frozen
class Usage:
    """CPU time of the renderer and the network service since their start, and memory.

    Args:
        main_seconds: CPU time of the renderer's main thread.
        renderer_seconds: CPU time of the renderer's process, in steps of 10 ms.
        network_seconds: CPU time of the network service, in steps of 10 ms.
        heap_bytes: JavaScript heap after a garbage collection.
        private_bytes: memory of the renderers that no other process shares, before the collection.
    """

    main_seconds: float
    renderer_seconds: float
    network_seconds: float
    heap_bytes: float
    private_bytes: float


@attrs.frozen
class Load:
    """A way to receive the events.

    Args:
        title: of the table.
        run: publishes the events and opens the stream; returns when the page has received all of them.
    """

    title: str
    run: Callable[[Cell, Tab], None]


def measure(
    client: BrowserClient, load: Load, server: Server, scripts: dict[str, bytes]
) -> Mapping[str, float]:
    """Measure a client in a new browser.

    Raises:
        RuntimeError: an event was lost or repeated.
    """
    with chromium() as browser, Rig(browser, server, scripts).cell(client) as cell:
        tab = cell.new_tab()
        tab.sleep(_SETTLE_SECONDS)
        page = tab.page.context.new_cdp_session(tab.page)
        page.send("Performance.enable")
        before = _usage(browser, page)
        load.run(cell, tab)
        after = _usage(browser, page)
        received = tab.read()
        if received.received != EVENTS or received.distinct != EVENTS:
            raise RuntimeError(f"{client.name} received {received.received} of {EVENTS} events: {received}")
        return {
            "main_ms": 1000 * (after.main_seconds - before.main_seconds),
            "renderer_ms": 1000 * (after.renderer_seconds - before.renderer_seconds),
            "network_ms": 1000 * (after.network_seconds - before.network_seconds),
            "heap_kb": (after.heap_bytes - before.heap_bytes) / 1000,
            "private_mb": after.private_bytes / 1e6,
            "last_event_ms": tab.page.evaluate("window.bench.records[0].elapsedMs"),
        }


def _usage(browser: Browser, page: CDPSession) -> Usage:
    session = browser.new_browser_cdp_session()
    processes: list[dict[str, Any]] = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    private_bytes = sum(
        psutil.Process(process["id"]).memory_full_info().uss
        for process in processes
        if process["type"] == "renderer"
    )
    metrics = _metrics(page)
    page.send("HeapProfiler.collectGarbage")
    return Usage(
        main_seconds=metrics["ThreadTime"],
        renderer_seconds=metrics["ProcessTime"],
        network_seconds=sum(one["cpuTime"] for one in processes if "NetworkService" in one["type"]),
        heap_bytes=_metrics(page)["JSHeapUsedSize"],
        private_bytes=private_bytes,
    )


def _metrics(page: CDPSession) -> dict[str, float]:
    return {metric["name"]: metric["value"] for metric in page.send("Performance.getMetrics")["metrics"]}


def _burst(cell: Cell, tab: Tab) -> None:
    """Receive a replay of the events, as fast as it comes."""
    for first in range(0, EVENTS, _BATCH_EVENTS):
        cell.publish(range(first, first + _BATCH_EVENTS))
    tab.start(cell.path, after="earliest")
    tab.await_count(EVENTS, _DEADLINE_SECONDS)


def _paced(cell: Cell, tab: Tab) -> None:
    """Receive the events one by one, as they are published."""
    tab.start(cell.path)
    cell.await_streams(tab, 1)
    began = time.monotonic()
    with cell.server.publisher(cell.topic) as publish:
        for number in range(EVENTS):
            time.sleep(max(began + number / PACED_PER_SECOND - time.monotonic(), 0))
            publish(number)
    tab.await_count(EVENTS, _DEADLINE_SECONDS)


LOADS: Final = (
    Load(f"{EVENTS:,} events at once", _burst),
    Load(f"{EVENTS:,} events, {PACED_PER_SECOND} a second", _paced),
)
