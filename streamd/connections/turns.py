"""Visits to many connections, in turns that do not delay the fan-out."""

import time
from collections.abc import Callable, Iterable
from typing import Final

import trio

from .connection import Connection

_TURN_SECONDS: Final = 0.002  # between checkpoints: thousands of visits must not delay the fan-out


async def visit_in_turns(connections: Iterable[Connection], visit: Callable[[Connection], None]) -> None:
    """Call a function with each connection, with checkpoints in between.

    A connection may have ended by the time of its visit. Cancelled, the rest is not visited.
    """
    turn_ends = time.perf_counter() + _TURN_SECONDS
    for connection in connections:
        visit(connection)
        if time.perf_counter() > turn_ends:
            await trio.lowlevel.checkpoint()
            turn_ends = time.perf_counter() + _TURN_SECONDS
