"""What streamd serves and publishes beside its own API (layer 5): one package each.

==================== =======================================================================
``demo``             a source: this machine's figures, and files followed line by line
``research``         findings on a company from many datasets (``/research/stream``)
``sentiment``        a dashboard of what is said about shares (``/api/v2``)
``strategy``         a strategy as text that streams while it is written (``/api/strategy``)
``brand_monitor``    an analysis of what is said about a brand (``/api/brand-monitor``)
``purchase_orders``  orders from a file to a shop, stage by stage (``/api/purchase-orders``)
==================== =======================================================================

All but ``demo`` are services: a package's ``make`` is given the server's parts, and returns a
:class:`Service`. What they share (tasks, the standard message, generated text, streams) is below them.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import attrs
from quart import Blueprint

SERVICES: Final = ("research", "sentiment", "strategy", "brand_monitor", "purchase_orders")
"""The services: each a package here with a function ``make``, and a section of the settings."""


@attrs.frozen
class Service:
    """What one service adds to the server."""

    blueprint: Blueprint
    run: Callable[[], Awaitable[None]] | None = None  # beside the server until cancelled


__all__ = ["SERVICES", "Service"]
