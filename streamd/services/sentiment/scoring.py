"""Scoring of texts in a worker thread, and the sentiment of a score."""

import time
from typing import Final

import trio

from ...text import score_text
from .models import Sentiment

POSITIVE_FROM: Final = 0.05  # the thresholds of VADER's authors for the compound score
NEGATIVE_TO: Final = -0.05
_WORK_SECONDS: Final = 0.001  # computing time between two pauses
_PAUSE_SECONDS: Final = 0.0002  # long enough for the event loop to take the interpreter


def sentiment_of(score: float) -> Sentiment:
    """Classify a score: positive from 0.05, negative up to -0.05, else neutral (VADER's documentation)."""
    if score >= POSITIVE_FROM:
        return Sentiment.POSITIVE
    if score <= NEGATIVE_TO:
        return Sentiment.NEGATIVE
    return Sentiment.NEUTRAL


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
