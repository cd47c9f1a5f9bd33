"""Share of voice: the part of all mentions that names the brand, and each of its competitors."""

from collections.abc import Sequence
from typing import Any, Final

from ...division import percentages
from .names import NameMatches


class Voice:
    """Counters of the mentions that name each brand.

    Args:
        names: the brand, then its competitors.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names: Final = names
        self._mentions = [0] * len(names)
        self._occurrences = [0] * len(names)
        self.total = 0
        self.nobody = 0  # number of mentions without any of the names

    def add(self, found: NameMatches) -> None:
        """Count one mention: once for each name in it, however often the name occurs."""
        self.total += 1
        self.nobody += not found.counts
        for name, occurrences in found.counts.items():
            self._mentions[name] += 1
            self._occurrences[name] += occurrences

    def merge(self, other: "Voice") -> None:
        """Add the counters of other mentions, with the same names."""
        self.total += other.total
        self.nobody += other.nobody
        self._mentions = [sum(pair) for pair in zip(self._mentions, other._mentions, strict=True)]
        self._occurrences = [sum(pair) for pair in zip(self._occurrences, other._occurrences, strict=True)]

    @property
    def of_brand(self) -> int:
        """Number of mentions that name the brand."""
        return self._mentions[0]

    def table(self) -> list[dict[str, Any]]:
        """Return a row per name, in the order given.

        The shares divide 100 % in proportion to the mentions; they are null if no mention has a name.
        """
        shares = percentages(self._mentions) if any(self._mentions) else None
        return [
            {
                "name": name,
                "mentions": self._mentions[index],
                "occurrences": self._occurrences[index],
                "share": shares[index] if shares else None,
            }
            for index, name in enumerate(self._names)
        ]
