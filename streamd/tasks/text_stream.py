"""The text of a task that arrives in many small pieces, collected into few events."""

from collections.abc import Callable, Mapping
from typing import Any

import trio

from .progress import Progress


def _describe_nothing(_text: str) -> Mapping[str, Any]:
    return {}


class TextStream:
    """The text of one task, streamed as progress of the task.

    A model sends a word or a part of one at a time, fifty times a second and more. Each event is stored,
    logged and sent to all subscribers, so pieces are collected: the first goes out at once; each later piece
    sends the collected ones if the last event is at least ``interval_seconds`` old. No timer is needed, and
    unsent pieces are at most those that arrived within the interval. Call :meth:`flush` at the end.

    Args:
        progress: the handle of the task.
        interval_seconds: minimum interval between two events (s).

    Attributes:
        text: everything added so far, including pieces that are not sent yet.
        describe: returns further arguments of :meth:`Progress.update` for an event, such as ``progress``,
            given the text so far.
    """

    def __init__(self, progress: Progress, interval_seconds: float) -> None:
        self.text = ""
        self.describe: Callable[[str], Mapping[str, Any]] = _describe_nothing
        self._progress = progress
        self._interval_seconds = interval_seconds
        self._unsent: list[str] = []
        self._sent_at = float("-inf")  # trio's clock (s)

    async def add(self, piece: str) -> None:
        """Append a piece, and send the collected ones if the interval has passed.

        Raises:
            As :meth:`flush`.
        """
        self.text += piece
        self._unsent.append(piece)
        if trio.current_time() - self._sent_at >= self._interval_seconds:
            await self.flush()

    async def flush(self) -> None:
        """Send the collected pieces.

        Raises:
            TooLarge: the text exceeds the maximum size of a task's text.
            InvalidTransition, Unavailable: as :meth:`Progress.update`.
        """
        text = "".join(self._unsent)
        self._unsent.clear()
        if text:
            self._sent_at = trio.current_time()
            await self._progress.update(text=text, **self.describe(self.text))
