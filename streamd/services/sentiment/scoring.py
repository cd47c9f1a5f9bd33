"""Scoring of texts in a worker thread."""

import time
from typing import Final

import trio

from ...text import score_text

_WORK_SECONDS: Final = 0.001  # computing time between two pauses
_PAUSE_SECONDS: Final = 0.0002  # long enough for the event loop to take the interpreter


class Scorer:
    """Scores texts in a worker thread, with pauses in which the event loop gets the interpreter.

    A thread that only computes releases the interpreter every 5 ms, and every pass of the event loop would
    wait for that. Cancelling the request ends the work in the thread at the next pause.
    """

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def __call__(self, text: str) -> float:
        """Return the score of a text, -1 to 1.

        Raises:
            trio.Cancelled: the request was cancelled.
        """
        score = score_text(text)
        if time.perf_counter() - self._began > _WORK_SECONDS:
            time.sleep(_PAUSE_SECONDS)
            trio.from_thread.check_cancelled()
            self._began = time.perf_counter()
        return score
