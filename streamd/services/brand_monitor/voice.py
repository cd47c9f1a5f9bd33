"""Share of voice: the part of all mentions that names the brand, and each of its competitors."""

from collections.abc import Sequence
from typing import Any, Final

from .names import NameMatches

_TENTHS: Final = 1000  # tenths of a percent in 100 %: shares have one decimal


def share_out(counts: Sequence[int]) -> list[float] | None:
    """Divide 100 % by the counts, to a tenth of a percent; None if all counts are 0.

    Uses the largest remainder method: the tenths that rounding down leaves over go to the largest remainders,
    and among equal ones to the first.
    """
    total = sum(counts)
    if not total:
        return None
    shares = [divmod(count * _TENTHS, total) for count in counts]
    left_over = _TENTHS - sum(tenths for tenths, _ in shares)
    by_remainder = sorted(range(len(shares)), key=lambda index: -shares[index][1])
    rounded_up = set(by_remainder[:left_over])
    return [(tenths + (index in rounded_up)) / 10 for index, (tenths, _) in enumerate(shares)]


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

    def table(self) -> list[dict[str, Any]]:
        """Return a row per name, in the order given. Shares refer to the mentions with at least one name."""
        shares = share_out(self._mentions)
        return [
            {
                "name": name,
                "mentions": self._mentions[index],
                "occurrences": self._occurrences[index],
                "share": shares[index] if shares else None,
            }
            for index, name in enumerate(self._names)
        ]
