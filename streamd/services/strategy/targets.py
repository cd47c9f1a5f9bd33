"""Figures in the text of a goal: the amount to reach, and the time for it."""

import re
from typing import Final, NamedTuple

import attrs

WEEKS_DEFAULT: Final = 12  # a quarter: long enough to see what works, short enough to be planned
WEEKS_MIN: Final = 4
WEEKS_MAX: Final = 104

_NUMBER: Final = re.compile(
    r"(?<![\w.,])(?P<number>\d{1,3}(?:,\d{3})+|\d{1,12})(?P<decimals>\.\d{1,3})?(?P<scale>k|m(?!\w))?"
    r"(?:\s*(?P<percent>%|percent\b|per cent\b)|[\s-]+(?P<unit>day|week|month|quarter|year)s?\b)?"
    r"(?!\w)",
    re.IGNORECASE,
)
_LEVEL: Final = re.compile(r"\bto\s*[$€£]?\s*$", re.IGNORECASE)  # "to 500" is a level, "500 more" is not
_LEVEL_CHARS: Final = 12  # of "to $" with its spaces; the whole text before each number would take the square
_SCALES: Final = {"": 1, "k": 1_000, "m": 1_000_000}
_WEEKS: Final = {"day": 1 / 7, "week": 1.0, "month": 52 / 12, "quarter": 13.0, "year": 52.0}


@attrs.frozen
class Target:
    """The amount that a goal states."""

    value: float
    is_percent: bool
    is_level: bool  # a level to reach ("to 8 %"), not an amount to add

    @property
    def count(self) -> int | None:
        """The number of things to divide among channels; None for a percentage, a level or a fraction."""
        whole = not self.is_percent and not self.is_level and self.value.is_integer()
        return int(self.value) if whole and self.value > 0 else None

    def __str__(self) -> str:
        number = f"{self.value:,.3f}".rstrip("0").rstrip(".")
        return f"{number} %" if self.is_percent else number


class GoalFigures(NamedTuple):
    """The figures found in a goal."""

    target: Target | None
    weeks: int | None  # from now, within the bounds above


def read_figures(goal: str) -> GoalFigures:
    """Read the figures in a goal: ``Win 500 leads within 6 months`` is 500 in 26 weeks.

    The first number is the target, unless one follows ``to``, as in ``from 5 % to 8 %``. A number with a
    unit of time is the time. A number that looks like a year is neither.
    """
    targets = []
    weeks = None
    for match in _NUMBER.finditer(goal):
        if match["unit"]:
            if weeks is None:
                stated = round(_value(match) * _WEEKS[match["unit"].lower()])
                weeks = min(max(stated, WEEKS_MIN), WEEKS_MAX)
        elif not _is_year(match):
            start = match.start()
            is_level = bool(_LEVEL.search(goal, max(0, start - _LEVEL_CHARS), start))
            targets.append(Target(_value(match), bool(match["percent"]), is_level))
    target = next((one for one in targets if one.is_level), targets[0] if targets else None)
    return GoalFigures(target, weeks)


def _value(match: re.Match[str]) -> float:
    number = float(match["number"].replace(",", "") + (match["decimals"] or ""))
    return number * _SCALES[(match["scale"] or "").lower()]


def _is_year(match: re.Match[str]) -> bool:
    bare = match["number"].isdigit() and not (match["decimals"] or match["scale"] or match["percent"])
    return bare and 1900 <= int(match["number"]) <= 2100
