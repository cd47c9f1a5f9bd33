"""Scores of texts, and the sentiment that a score stands for."""

import time
from collections.abc import Iterator
from typing import Final

import trio

from .. import vader
from .totals import Sentiment

POSITIVE_FROM: Final = 0.05  # the bounds that VADER's authors give for its compound score
NEGATIVE_TO: Final = -0.05
PASSAGE_COST: Final = 500  # what is scored as a whole: more than a tweet, for which VADER was made
_EMOJI_FROM: Final = "\u2190"  # VADER puts words in the place of a pictogram, on average as many letters as
_EMOJI_COST: Final = 10  # this
_WORK_SECONDS: Final = 0.001
_REST_SECONDS: Final = 0.0002


def sentiment_of(score: float) -> Sentiment:
    """Positive from 0.05, negative to -0.05, neutral between, as VADER's documentation says."""
    if score >= POSITIVE_FROM:
        return Sentiment.POSITIVE
    if score <= NEGATIVE_TO:
        return Sentiment.NEGATIVE
    return Sentiment.NEUTRAL


def score_text(text: str) -> float:
    """How a text sounds, from -1 to 1: VADER's compound score.

    A long text is scored passage by passage, and gets their average by length, as VADER's documentation
    says for texts of several sentences. The time VADER takes grows with the square of a text's words: ten
    thousand pictograms at once would take half a minute.
    """
    if len(text) <= PASSAGE_COST and text.isascii():
        return vader.score(text)
    sum_of_scores = 0.0
    letters = 0
    for passage in _passages(text):
        sum_of_scores += vader.score(passage) * len(passage)
        letters += len(passage)
    return round(sum_of_scores / letters, 4) + 0.0 if letters else 0.0


def _passages(text: str) -> Iterator[str]:
    """Pieces of at most ``PASSAGE_COST``, cut between words where there is a space to cut at."""
    start, cost, space = 0, 0, -1
    for place, letter in enumerate(text):
        cost += _EMOJI_COST if letter >= _EMOJI_FROM else 1
        while cost > PASSAGE_COST:
            end = space + 1 if space >= start else place
            yield text[start:end]
            start, cost = end, _cost(text[end : place + 1])
        if letter.isspace():
            space = place
    if start < len(text):
        yield text[start:]


def _cost(text: str) -> int:
    return sum(_EMOJI_COST if letter >= _EMOJI_FROM else 1 for letter in text)


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
