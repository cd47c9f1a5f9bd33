"""Sentiment of English text by VADER. One analyzer, loaded once and safe to use in several threads.

C.J. Hutto and E.E. Gilbert: VADER, a parsimonious rule-based model for sentiment analysis of social media
text (ICWSM 2014).
"""

import threading
from collections.abc import Iterator
from typing import Any, Final, Literal, TypeAlias

from ..steps import Steps, run_at_once
from .normalize import normalize_text

PASSAGE_COST: Final = 500  # longest text scored in one piece; VADER was made for tweets
POSITIVE_FROM: Final = 0.05  # the thresholds of VADER's authors for the compound score
NEGATIVE_TO: Final = -0.05
_NEUTRAL_MAX: Final = 0.0499  # the largest neutral score: VADER rounds to four digits
_EMOJI_FROM: Final = "\u2190"
_EMOJI_COST: Final = 10  # VADER replaces a pictogram by words of about this many letters

SentimentName: TypeAlias = Literal["positive", "neutral", "negative"]

_loading: Final = threading.Lock()
_analyzer: Any = None


async def load_vader() -> None:
    """Load the lexicon in a worker thread, once. Cancelling waits for the thread."""
    if _analyzer is None:
        import trio  # a worker process, which only scores texts, does not need it

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
    """Return VADER's compound score of a short text, from -1 (negative) to 1 (positive).

    Takes about 100 µs for two sentences and grows with the square of the number of words (0.15 s for 5,000
    characters). Use :func:`score_text` for texts of any length.
    """
    analyzer = _analyzer or _load()
    return float(analyzer.polarity_scores(text)["compound"])


def score_text(text: str) -> float:
    """Return VADER's compound score of a text, from -1 (negative) to 1 (positive).

    The text is normalized first, see :func:`.normalize.normalize_text`. A long text is scored by passages and
    averaged by length, as VADER's documentation recommends for several sentences. This bounds the time, which
    is quadratic in one passage: ten thousand pictograms in one would take half a minute.
    """
    return run_at_once(score_in_steps(text))


def score_in_steps(text: str) -> Steps[float]:
    """Compute :func:`score_text` in steps: a passage each, which takes up to 4 ms."""
    text = normalize_text(text)
    if len(text) <= PASSAGE_COST and text.isascii():
        return score(text)
    sum_of_scores = 0.0
    letters = 0
    for passage in _passages(text):
        sum_of_scores += score(passage) * len(passage)
        letters += len(passage)
        yield
    return round(sum_of_scores / letters, 4) + 0.0 if letters else 0.0


def sentiment_of(score: float) -> SentimentName:
    """Classify a score: positive from 0.05, negative up to -0.05, else neutral (VADER's documentation)."""
    if score >= POSITIVE_FROM:
        return "positive"
    return "negative" if score <= NEGATIVE_TO else "neutral"


def limit_score(score: float, sentiment: SentimentName) -> float:
    """Return the score nearest to ``score`` for which :func:`sentiment_of` returns ``sentiment``."""
    if sentiment_of(score) == sentiment:
        return score
    if sentiment == "neutral":
        return _NEUTRAL_MAX if score > 0 else -_NEUTRAL_MAX
    return POSITIVE_FROM if sentiment == "positive" else NEGATIVE_TO


def _passages(text: str) -> Iterator[str]:
    """Split a text into passages of at most ``PASSAGE_COST``, between words where possible."""
    start, cost, space = 0, 0, -1
    for index, letter in enumerate(text):
        cost += _EMOJI_COST if letter >= _EMOJI_FROM else 1
        while cost > PASSAGE_COST:
            end = space + 1 if space >= start else index
            yield text[start:end]
            start, cost = end, _cost(text[end : index + 1])
        if letter.isspace():
            space = index
    if start < len(text):
        yield text[start:]


def scoring_cost(text: str) -> int:
    """Return the cost of scoring a text: its length, with a pictogram counted as ten characters."""
    return len(text) if text.isascii() else _cost(text)


def _cost(text: str) -> int:
    return sum(_EMOJI_COST if letter >= _EMOJI_FROM else 1 for letter in text)
