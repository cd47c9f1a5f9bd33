"""Proxies that hold event streams back, with and without WebSocket."""

import time
from itertools import count
from math import isinf
from typing import Final

from ..tables import Counts
from .base import SECONDS_MAX, Case, Cell

_PUBLISH_SECONDS: Final = 0.5
_NAMES: Final = {"sse": "SSE", "websocket": "WebSocket", "poll": "long polling"}


def buffered(cell: Cell) -> Counts:
    cell.proxy.buffers = True
    tab = cell.new_tab()
    cell.start(tab)
    began = time.time()
    for number in count():
        if tab.read().received or time.time() - began > SECONDS_MAX:
            break
        cell.publish([number])
        tab.sleep(_PUBLISH_SECONDS)
    if not tab.read().received:
        return {"first_s": float("inf"), "transport": ""}
    streams = cell.proxy.streams() or cell.requests
    first = min(tab.arrived_at(published) for published in range(number))
    return {"first_s": first - began, "transport": streams[-1].transport}


def without_websocket(cell: Cell) -> Counts:
    cell.proxy.refuses_websocket = True
    return buffered(cell)


def show_buffered(counts: dict[str, float | str]) -> str:
    first_s = float(counts["first_s"])
    if isinf(first_s):
        return f"nothing in {SECONDS_MAX:.0f} s"
    name = _NAMES.get(str(counts["transport"]), counts["transport"])
    return f"events after {first_s:.1f} s by {name}"


BUFFERING: Final = (
    Case(
        "buffering proxy",
        f"Event streams are held back until they end; an event is published every {_PUBLISH_SECONDS} s.",
        buffered,
        show_buffered,
    ),
    Case(
        "buffering proxy without WebSocket",
        "The same, and requests for WebSocket get 502.",
        without_websocket,
        show_buffered,
    ),
)
