"""Connections that break: a killed server, a cut or silent connection, no network, a hidden page."""

import time
from math import isinf
from typing import Final

from ..server import HEARTBEAT_SECONDS
from ..tables import Counts
from .base import FIRST_NUMBERS, SECONDS_MAX, Case, Cell, losses, plural, show_losses

_MEANWHILE: Final = range(10, 20)
_BOTH: Final = range(20)
_OFFLINE_SECONDS: Final = 6.0
_HIDDEN_SECONDS: Final = 3.0

# Playwright keeps all pages visible, so the page is told what a browser would tell it.
_SET_HIDDEN: Final = """(hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    const state = hidden ? "hidden" : "visible";
    Object.defineProperty(document, "visibilityState", { configurable: true, get: () => state });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def restart(cell: Cell) -> Counts:
    tab = cell.open()
    cell.publish(range(10, 60))
    cell.server.kill()  # with some of these in the sockets' buffers
    cell.server.start()
    listening = time.time()
    cell.publish(range(60, 100))
    tab.wait_for(100, SECONDS_MAX)
    return losses(tab.read(), range(100)) | {"back_s": tab.arrived_at(99) - listening}


def cut_before_first_event(cell: Cell) -> Counts:
    tab = cell.new_tab()
    cell.start(tab)
    cell.await_streams(tab, 1)
    cell.proxy.cut()
    at = time.time()
    cell.publish(FIRST_NUMBERS)
    tab.wait(lambda: bool(cell.requests_since(at) and cell.proxy.streams()), SECONDS_MAX)
    cell.await_streams(tab, 1)
    cell.publish(_MEANWHILE)
    tab.wait_for(len(_BOTH), 3)
    return losses(tab.read(), _BOTH)


def silence(cell: Cell) -> Counts:
    tab = cell.open()
    cell.proxy.freeze()
    at = time.time()
    cell.publish(_MEANWHILE)
    tab.wait_for(len(_BOTH), SECONDS_MAX)
    later = cell.requests_since(at)
    noticed_s = later[0].at - at if later else float("inf")
    return losses(tab.read(), _BOTH) | {"noticed_s": noticed_s}


def show_silence(counts: dict[str, float]) -> str:
    if isinf(counts["noticed_s"]):
        return f"not noticed in {SECONDS_MAX:.0f} s, {show_losses(counts)}"
    return f"noticed after {counts['noticed_s']:.1f} s, {show_losses(counts)}"


def offline(cell: Cell) -> Counts:
    tab = cell.open()
    context = tab.page.context
    before = len(tab.attempts)
    context.set_offline(True)
    cell.proxy.cut()  # Chromium's emulation leaves open connections alone
    cell.publish(_MEANWHILE)
    tab.sleep(_OFFLINE_SECONDS)
    attempts = len(tab.attempts) - before
    at = time.time()
    context.set_offline(False)
    tab.wait_for(len(_BOTH), SECONDS_MAX)
    return losses(tab.read(), _BOTH) | {
        "attempts": attempts,
        "back_s": tab.arrived_at(_BOTH[-1]) - at,
    }


def show_offline(counts: dict[str, float]) -> str:
    return f"{plural(counts['attempts'], 'attempt')} offline; {show_back(counts)}"


def hidden(cell: Cell) -> Counts:
    tab = cell.open()
    tab.page.evaluate(_SET_HIDDEN, True)
    tab.sleep(1)
    connections = len(cell.proxy.streams())
    cell.publish(_MEANWHILE)
    tab.sleep(_HIDDEN_SECONDS)
    delivered = tab.read().distinct - len(FIRST_NUMBERS)
    tab.page.evaluate(_SET_HIDDEN, False)
    tab.wait_for(len(_BOTH), SECONDS_MAX)
    return losses(tab.read(), _BOTH) | {"connections": connections, "delivered": delivered}


def show_hidden(counts: dict[str, float]) -> str:
    stays = "stays open" if counts["connections"] else "closes"
    return f"{stays}, {counts['delivered']:.0f} of 10 while hidden, {show_losses(counts)}"


def show_back(counts: dict[str, float]) -> str:
    if isinf(counts["back_s"]):
        return f"not back in {SECONDS_MAX:.0f} s, {show_losses(counts)}"
    return f"back after {counts['back_s']:.1f} s, {show_losses(counts)}"


OUTAGES: Final = (
    Case(
        "server killed and restarted",
        "The server takes 50 events, is killed at once, started with the same log, and takes 40 more.",
        restart,
        show_back,
    ),
    Case(
        "cut before the first event",
        "The connection is cut before any event; 10 are published before the client is back, and 10 after.",
        cut_before_first_event,
        show_losses,
    ),
    Case(
        "connection silent, not closed",
        f"No byte arrives on the open connection any more; heartbeats come every {HEARTBEAT_SECONDS:.0f} s.",
        silence,
        show_silence,
    ),
    Case(
        f"offline for {_OFFLINE_SECONDS:.0f} s",
        "The connection is cut, and the browser is offline while 10 events are published. The time counts "
        "from its being online again.",
        offline,
        show_offline,
    ),
    Case(
        "page hidden",
        "The page is told that it is hidden while 10 events are published, then that it is shown.",
        hidden,
        show_hidden,
    ),
)
