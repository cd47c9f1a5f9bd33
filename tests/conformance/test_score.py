"""Scores of the conformance suites, computed from their reports."""

import pytest

from tests.conformance import autobahn, h2spec
from tests.conformance.score import Score, is_below

JUNIT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite package="http2/3.5" tests="3">
    <testcase package="http2/3.5" classname="Sends a preface" time="0.0025"></testcase>
    <testcase package="http2/3.5" classname="Sends an invalid preface"><failure>timeout</failure></testcase>
    <testcase package="http2/3.5" classname="Sends nothing"><skipped></skipped></testcase>
  </testsuite>
</testsuites>"""


def test_a_wrong_answer_and_an_unclean_close_each_fail_a_case_of_autobahn() -> None:
    outcomes = {
        "1.1.1": ("OK", "OK"),
        "3.2": ("NON-STRICT", "OK"),
        "7.1.6": ("INFORMATIONAL", "INFORMATIONAL"),
        "7.3.1": ("OK", "UNCLEAN"),
        "7.9.1": ("OK", "WRONG CODE"),
        "1.2.1": ("FAILED", "OK"),
        "12.1.1": ("UNIMPLEMENTED", "OK"),
    }
    report = {
        name: {"behavior": behavior, "behaviorClose": close} for name, (behavior, close) in outcomes.items()
    }
    score = autobahn.score_of(report)
    assert (score.passed, score.cases) == (3, 7)
    assert score.failed[0] == "1.2.1 (FAILED, close OK)"


def test_a_failed_and_a_skipped_case_of_h2spec_lower_the_score() -> None:
    score = h2spec.score_of(JUNIT)
    assert (score.passed, score.cases) == (1, 3)
    assert score.failed == ("http2/3.5: Sends an invalid preface", "http2/3.5: Sends nothing")


@pytest.mark.parametrize(
    ("score", "below"),
    [
        (Score("s", 3, ("a",)), False),
        (Score("s", 3, ("b",)), False),
        (Score("s", 3), False),
        (Score("s", 3, ("a", "b")), True),
        (Score("s", 2), True),
        (Score("s", 0), True),
    ],
)
def test_fewer_passed_or_fewer_cases_are_below_the_recorded_score(score: Score, below: bool) -> None:
    assert is_below(score, Score("s", 3, ("a",))) is below
