"""Sentiment of the mentions that name the brand, by source and by day."""

from collections.abc import Callable, Iterator
from datetime import UTC
from typing import Any, Final

from .models import Mention

POSITIVE_FROM: Final = 0.05  # the thresholds of VADER's authors for the compound score
NEGATIVE_TO: Final = -0.05


class ToneTally:
    """Counters of the scores of some mentions."""

    __slots__ = ("mentions", "negative", "positive", "total")

    def __init__(self) -> None:
        self.mentions = self.positive = self.negative = 0
        self.total = 0.0

    def add(self, score: float) -> None:
        """Count one score (-1 to 1)."""
        self.mentions += 1
        self.positive += score >= POSITIVE_FROM
        self.negative += score <= NEGATIVE_TO
        self.total += score

    def fields(self) -> dict[str, Any]:
        """Return the counters as JSON; the average is null without mentions."""
        return {
            "mentions": self.mentions,
            "positive": self.positive,
            "neutral": self.mentions - self.positive - self.negative,
            "negative": self.negative,
            # `+ 0.0` turns a rounded `-0.0` into `0.0`
            "averageScore": round(self.total / self.mentions, 4) + 0.0 if self.mentions else None,
        }


class Tone:
    """Scores mentions of the brand and counts the scores.

    Args:
        score: computes the score of a text, -1 to 1.
    """

    def __init__(self, score: Callable[[str], float]) -> None:
        self._score: Final = score
        self._overall: Final = ToneTally()
        self._by_source: Final[dict[str, ToneTally]] = {}
        self._by_day: Final[dict[str, ToneTally]] = {}

    def add(self, mention: Mention) -> None:
        """Score and count one mention, under its day in UTC."""
        score = self._score(mention.text)
        day = mention.time.astimezone(UTC).date().isoformat()
        self._overall.add(score)
        self._by_source.setdefault(mention.source, ToneTally()).add(score)
        self._by_day.setdefault(day, ToneTally()).add(score)

    def tables(self) -> dict[str, Any]:
        """Return the counters overall, by source (most mentions first, then by name) and by day."""
        return {
            "overall": self._overall.fields(),
            "bySource": list(_rows("source", self._by_source, lambda row: (-row[1].mentions, row[0]))),
            "byDay": list(_rows("day", self._by_day, lambda row: row[0])),
        }


def _rows(
    name: str, tallies: dict[str, ToneTally], order: Callable[[tuple[str, ToneTally]], Any]
) -> Iterator[dict[str, Any]]:
    for value, tally in sorted(tallies.items(), key=order):
        yield {name: value, **tally.fields()}
