"""One VADER analyzer for all services: loaded once, and safe to use in several threads.

C.J. Hutto and E.E. Gilbert: VADER, a parsimonious rule-based model for sentiment analysis of social media
text (ICWSM 2014). It reads English.
"""

import threading
from collections.abc import Iterator
from typing import Any, Final

import trio

PASSAGE_COST: Final = 500  # what is scored as a whole: more than a tweet, for which VADER was made
_EMOJI_FROM: Final = "\u2190"  # VADER puts words in the place of a pictogram, on average as many letters as
_EMOJI_COST: Final = 10  # this

_loading: Final = threading.Lock()
_analyzer: Any = None


async def load() -> None:
    """Read the lexicon, unless that has been done, in a thread. Cancelled, it waits for the thread."""
    if _analyzer is None:
        await trio.to_thread.run_sync(_load)


def _load() -> Any:
    global _analyzer  # noqa: PLW0603 - there is one
    with _loading:
        if _analyzer is None:
            from vaderSentiment.vaderSentiment import (  # type: ignore[import-untyped]
                SentimentIntensityAnalyzer,
            )

            _analyzer = SentimentIntensityAnalyzer()
        return _analyzer


def score(text: str) -> float:
    """How a text sounds, from -1 (bad) to 1 (good): VADER's compound score.

    About 100 µs for two sentences, but the time may grow with the square of the number of words (0.15 s for
    5,000 characters). So this is for short texts; :func:`score_text` is for all.
    """
    analyzer = _analyzer or _load()
    return float(analyzer.polarity_scores(text)["compound"])


def score_text(text: str) -> float:
    """How a text sounds, from -1 to 1: VADER's compound score.

    A long text is scored passage by passage, and gets their average by length, as VADER's documentation
    says for texts of several sentences. The time VADER takes grows with the square of a text's words: ten
    thousand pictograms at once would take half a minute.
    """
    if len(text) <= PASSAGE_COST and text.isascii():
        return score(text)
    sum_of_scores = 0.0
    letters = 0
    for passage in _passages(text):
        sum_of_scores += score(passage) * len(passage)
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
