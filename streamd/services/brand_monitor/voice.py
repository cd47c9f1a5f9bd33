"""Share of voice: how much of the talk names the brand, and how much each of its competitors."""

from collections.abc import Sequence
from typing import Any, Final

from .names import Found

_TENTHS: Final = 1000  # of a percent, in all: shares are told to a tenth


def share_out(counts: Sequence[int]) -> list[float] | None:
    """Percentages to a tenth that sum up to 100; None when there is nothing to share.

    By the largest remainder: what rounding down leaves over goes, a tenth each, to those who lost the most by
    it, and to the first of those who lost as much.
    """
    total = sum(counts)
    if not total:
        return None
    shares = [divmod(count * _TENTHS, total) for count in counts]
    left_over = _TENTHS - sum(tenths for tenths, _ in shares)
    by_loss = sorted(range(len(shares)), key=lambda place: -shares[place][1])
    lucky = set(by_loss[:left_over])
    return [(tenths + (place in lucky)) / 10 for place, (tenths, _) in enumerate(shares)]


class Voice:
    """Counts who is named.

    Args:
        names: the brand, then its competitors.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names: Final = names
        self._mentions = [0] * len(names)
        self._occurrences = [0] * len(names)
        self.total = 0
        self.nobody = 0  # mentions that name none of them

    def add(self, found: Found) -> None:
        """Count one mention; one that names two counts for both, one that names one twice counts once."""
        self.total += 1
        self.nobody += not found.counts
        for place, occurrences in found.counts.items():
            self._mentions[place] += 1
            self._occurrences[place] += occurrences

    def table(self) -> list[dict[str, Any]]:
        """The brand, then the competitors as they were given. Shares are of mentions that name somebody."""
        shares = share_out(self._mentions)
        return [
            {
                "name": name,
                "mentions": self._mentions[place],
                "occurrences": self._occurrences[place],
                "share": shares[place] if shares else None,
            }
            for place, name in enumerate(self._names)
        ]
