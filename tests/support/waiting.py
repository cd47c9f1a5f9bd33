"""Waiting for a state of this process that nothing announces."""

from collections.abc import Callable
from typing import Final

import trio

WAIT_SECONDS: Final = 30


async def until(holds: Callable[[], bool]) -> None:
    """Let other trio tasks run until a condition holds.

    Raises:
        trio.TooSlowError: it does not hold within the timeout.
    """
    with trio.fail_after(WAIT_SECONDS):
        while not holds():
            await trio.lowlevel.checkpoint()
