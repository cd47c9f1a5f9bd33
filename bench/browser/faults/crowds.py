"""Many tabs of one browser, and many clients that lose the server together."""

import time
from typing import Final

from ..tables import Counts
from .base import Case, Cell, plural

_TABS: Final = 10
_TABS_SECONDS: Final = 8.0
_PAGES: Final = 5
_STREAMS_A_PAGE: Final = 4  # below the six connections that browsers allow to a host
_CLIENTS: Final = _PAGES * _STREAMS_A_PAGE
_BACK_SECONDS: Final = 10.0


def ten_tabs(cell: Cell) -> Counts:
    context = cell.new_context()
    tabs = [cell.new_tab(context) for _ in range(_TABS)]
    for tab in tabs:
        cell.start(tab)
    tabs[0].sleep(_TABS_SECONDS / 2)
    cell.publish(range(10))
    deadline = time.monotonic() + _TABS_SECONDS
    complete = sum(tab.wait_for(10, max(deadline - time.monotonic(), 0)) for tab in tabs)
    return {"tabs": complete, "connections": len(cell.proxy.streams())}


def show_tabs(counts: dict[str, float]) -> str:
    return f"{counts['tabs']:.0f} of {_TABS} receive, by {plural(counts['connections'], 'connection')}"


def reconnect_spread(cell: Cell) -> Counts:
    tabs = [cell.new_tab() for _ in range(_PAGES)]
    for tab in tabs:
        for number in range(_STREAMS_A_PAGE):
            # A topic of its own, so that the streams of a page are none that it can share.
            cell.start(tab, path=f"{cell.path}&topic={cell.topic}-{number}")
    cell.await_streams(tabs[0], _CLIENTS)
    at = time.time()
    cell.proxy.cut()
    tabs[0].wait(lambda: len(cell.requests_since(at)) >= _CLIENTS, _BACK_SECONDS)
    waits = [request.at - at for request in cell.requests_since(at)[:_CLIENTS]]
    if len(waits) < _CLIENTS:
        return {"first_s": min(waits, default=float("inf")), "last_s": float("inf")}
    return {"first_s": waits[0], "last_s": waits[-1]}


def show_spread(counts: dict[str, float]) -> str:
    return f"back after {counts['first_s']:.2f} to {counts['last_s']:.2f} s"


CROWDS: Final = (
    Case(
        f"{_TABS} tabs",
        "Ten tabs of one browser open the stream over HTTP/1.1, then 10 events are published.",
        ten_tabs,
        show_tabs,
    ),
    Case(
        f"{_CLIENTS} clients lose the server",
        "All connections of 20 clients are cut at once; the times of their requests show the jitter.",
        reconnect_spread,
        show_spread,
    ),
)
