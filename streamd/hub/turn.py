"""The turn: the time the fan-out works before it lets other trio tasks run."""

import time
from collections.abc import Callable
from typing import Final

import trio

_SHARE: Final = 3  # of the time that others took: with 1, clients that stay wait twice as long in a storm


class Turn:
    """Bounds a turn, and runs at its end the actions that were put off until then.

    A turn is three times as long as the other trio tasks took before it, within bounds: in a reconnect storm
    the fan-out gets three quarters of the time, and events that are published meanwhile leave together.

    Args:
        min_seconds: the shortest turn (s).
        max_seconds: the longest turn (s).
        resumed: called after the other trio tasks ran.
        clock: a monotonic clock (s).
    """

    __slots__ = (
        "_clock",
        "_deadline",
        "_deferred",
        "_is_running",
        "_max_seconds",
        "_min_seconds",
        "_resumed",
    )

    def __init__(
        self,
        min_seconds: float,
        max_seconds: float,
        resumed: Callable[[], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._min_seconds = min_seconds
        self._max_seconds = max_seconds
        self._resumed = resumed
        self._clock = clock
        self._deadline = 0.0
        self._deferred: dict[Callable[[], None], None] = {}
        self._is_running = False

    def begin(self) -> None:
        """Start a turn after other trio tasks ran."""
        self._is_running = True
        self._deadline = self._clock() + self._min_seconds

    def defer(self, action: Callable[[], None]) -> None:
        """Call an action once at the end of this turn, before others run; between turns, at once."""
        if self._is_running:
            self._deferred[action] = None
        else:
            action()

    def end(self) -> None:
        """End the turn: call the deferred actions, also those that they defer."""
        while self._deferred:
            action, _ = self._deferred.popitem()
            action()
        self._is_running = False

    async def pause(self) -> None:
        """End the turn if its time is up, and start the next; else return without a checkpoint."""
        ended = self._clock()
        if ended >= self._deadline:
            await self._let_others_run()
            self._is_running = True
            began = self._clock()
            self._deadline = began + max(self._min_seconds, min(_SHARE * (began - ended), self._max_seconds))

    async def _let_others_run(self) -> None:
        self.end()
        await trio.lowlevel.checkpoint()
        self._resumed()
