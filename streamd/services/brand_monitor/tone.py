"""Sentiment: how those speak of the brand who name it, by source and by day."""

from collections.abc import Callable, Iterator
from datetime import UTC
from typing import Any, Final

from .requests import Mention

POSITIVE_FROM: Final = 0.05  # the bounds that VADER's authors give for its compound score
NEGATIVE_TO: Final = -0.05


class Tally:
    """Scores of some mentions."""

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
        """As JSON; the average is null where nothing was counted."""
        return {
            "mentions": self.mentions,
            "positive": self.positive,
            "neutral": self.mentions - self.positive - self.negative,
            "negative": self.negative,
            # `+ 0.0` so that a tiny negative average is no `-0.0`
            "averageScore": round(self.total / self.mentions, 4) + 0.0 if self.mentions else None,
        }


class Tone:
    """Scores mentions of the brand, and sums up.

    Args:
        score: from -1 to 1, of a text.
    """

    def __init__(self, score: Callable[[str], float]) -> None:
        self._score: Final = score
        self._overall: Final = Tally()
        self._by_source: Final[dict[str, Tally]] = {}
        self._by_day: Final[dict[str, Tally]] = {}

    def add(self, mention: Mention) -> None:
        """Score one mention; its day is that of UTC, wherever it was written."""
        score = self._score(mention.text)
        day = mention.time.astimezone(UTC).date().isoformat()
        self._overall.add(score)
        self._by_source.setdefault(mention.source, Tally()).add(score)
        self._by_day.setdefault(day, Tally()).add(score)

    def tables(self) -> dict[str, Any]:
        """Overall; by source, those with the most mentions first, then by name; by day, in order."""
        return {
            "overall": self._overall.fields(),
            "bySource": list(_rows("source", self._by_source, lambda row: (-row[1].mentions, row[0]))),
            "byDay": list(_rows("day", self._by_day, lambda row: row[0])),
        }


def _rows(
    name: str, tallies: dict[str, Tally], order: Callable[[tuple[str, Tally]], Any]
) -> Iterator[dict[str, Any]]:
    for value, tally in sorted(tallies.items(), key=order):
        yield {name: value, **tally.fields()}
