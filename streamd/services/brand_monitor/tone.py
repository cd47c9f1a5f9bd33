"""Sentiment of the mentions that name the brand, by source and by day."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC
from typing import Any, Final

from ...text import sentiment_of
from .models import Mention


class ToneTally:
    """Counters of the scores of some mentions."""

    def __init__(self) -> None:
        self._counts: Final[Counter[str]] = Counter()
        self._total = 0.0

    @property
    def mentions(self) -> int:
        return self._counts.total()

    def add(self, score: float) -> None:
        """Count one score (-1 to 1)."""
        self._counts[sentiment_of(score)] += 1
        self._total += score

    def merge(self, other: "ToneTally") -> None:
        """Add the counters of other scores."""
        self._counts.update(other._counts)
        self._total += other._total

    def fields(self) -> dict[str, Any]:
        """Return the counters as JSON; the average is null without mentions."""
        return {
            "mentions": self.mentions,
            **{sentiment: self._counts[sentiment] for sentiment in ("positive", "neutral", "negative")},
            # `+ 0.0` turns a rounded `-0.0` into `0.0`
            "averageScore": round(self._total / self.mentions, 4) + 0.0 if self.mentions else None,
        }


class Tone:
    """Counters of the scores of mentions of the brand."""

    def __init__(self) -> None:
        self._overall: Final = ToneTally()
        self._by_source: Final[dict[str, ToneTally]] = {}
        self._by_day: Final[dict[str, ToneTally]] = {}

    def add(self, mention: Mention, score: float) -> None:
        """Count the score of a mention (-1 to 1), under its day in UTC."""
        day = mention.time.astimezone(UTC).date().isoformat()
        self._overall.add(score)
        self._by_source.setdefault(mention.source, ToneTally()).add(score)
        self._by_day.setdefault(day, ToneTally()).add(score)

    def merge(self, other: "Tone") -> None:
        """Add the counters of other mentions."""
        self._overall.merge(other._overall)
        for mine, others in (self._by_source, other._by_source), (self._by_day, other._by_day):
            for value, tally in others.items():
                mine.setdefault(value, ToneTally()).merge(tally)

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
