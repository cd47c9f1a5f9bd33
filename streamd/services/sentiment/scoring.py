"""The sentiment that a score stands for, and scoring in a thread that leaves the loop its turns."""

import time
from typing import Final

import trio

from ...text.vader import score_text
from .totals import Sentiment

POSITIVE_FROM: Final = 0.05  # the bounds that VADER's authors give for its compound score
NEGATIVE_TO: Final = -0.05
_WORK_SECONDS: Final = 0.001
_REST_SECONDS: Final = 0.0002


def sentiment_of(score: float) -> Sentiment:
    """Positive from 0.05, negative to -0.05, neutral between, as VADER's documentation says."""
    if score >= POSITIVE_FROM:
        return Sentiment.POSITIVE
    if score <= NEGATIVE_TO:
        return Sentiment.NEGATIVE
    return Sentiment.NEUTRAL


class Scorer:
    """Scores one text after the other in a thread, and rests so often that the event loop gets its turn.

    A thread that only computes gives the interpreter away every 5 ms, and each turn of the loop would wait
    for that. Who is scored for may be cancelled, which then ends the thread's work as well.
    """

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def __call__(self, text: str) -> float:
        """The score of a text.

        Raises:
            trio.Cancelled: nobody waits for it any more.
        """
        score = score_text(text)
        if time.perf_counter() - self._began > _WORK_SECONDS:
            time.sleep(_REST_SECONDS)
            trio.from_thread.check_cancelled()
            self._began = time.perf_counter()
        return score
