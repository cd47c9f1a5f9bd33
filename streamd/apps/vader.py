"""One VADER analyzer for all services: loaded once, and safe to use in several threads.

C.J. Hutto and E.E. Gilbert: VADER, a parsimonious rule-based model for sentiment analysis of social media
text (ICWSM 2014). It reads English.
"""

import threading
from typing import Any, Final

import trio

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
    5,000 characters). So bound what you hand over, and score more than a few texts in a thread.
    """
    analyzer = _analyzer or _load()
    return float(analyzer.polarity_scores(text)["compound"])
