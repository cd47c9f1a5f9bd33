"""Scores of the conformance suites, and those that were reached last."""

from typing import Final

import attrs


@attrs.frozen
class Score:
    """The outcome of one suite.

    Args:
        suite: its name.
        cases: the number of cases that ran.
        failed: each failed case, with what the suite says of it.
    """

    suite: str
    cases: int
    failed: tuple[str, ...] = ()

    @property
    def passed(self) -> int:
        """The number of cases that passed."""
        return self.cases - len(self.failed)

    def __str__(self) -> str:
        return f"{self.suite}: {self.passed} of {self.cases}"


RECORDED: Final = {"Autobahn": Score("Autobahn", 301), "h2spec": Score("h2spec", 146)}
"""The scores in the README. Raise them with the server; `make conformance` fails below them."""


def is_below(score: Score, recorded: Score) -> bool:
    """Return True for a score with fewer passed cases than the recorded one, or with fewer cases at all."""
    return score.passed < recorded.passed or score.cases < recorded.cases
