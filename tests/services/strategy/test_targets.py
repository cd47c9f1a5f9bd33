"""Figures in the text of a goal."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.services.strategy.targets import GoalFigures, Target, read_figures


@pytest.mark.parametrize(
    ("goal", "target", "weeks"),
    [
        ("Win 500 leads within 6 months", Target(500.0, False, False), 26),
        ("Sell 1,500 tickets in 8 weeks", Target(1500.0, False, False), 8),
        ("Raise conversion from 2.5% to 4 %", Target(4.0, True, True), None),
        ("Grow revenue by 20 percent next year", Target(20.0, True, False), None),
        ("Reach 10k followers by 2027", Target(10_000.0, False, False), None),
        ("Grow the list to 5000", Target(5000.0, False, True), None),
        ("1.5M views", Target(1_500_000.0, False, False), None),
        ("A 90-day sprint", None, 13),
        ("Within 2 years", None, 104),
        ("Within 30 years", None, 104),
        ("Within 2 days", None, 4),
        ("Q3 launch of version v2", None, None),
        ("Become better", None, None),
        ("Win 12345678901234567890 fans", None, None),
        ("From 5 to  $ 8", Target(8.0, False, True), None),
        ("Into 8, alto 9", Target(8.0, False, False), None),
    ],
)
def test_goal_states_its_target_and_time(goal: str, target: Target | None, weeks: int | None) -> None:
    assert read_figures(goal) == GoalFigures(target, weeks)


@pytest.mark.parametrize("part", ["1 ", "to 1 ", "1,111", "to ", "1.1 ", "$ 1", "9 days "])
def test_the_time_grows_in_proportion_to_the_length_of_the_goal(part: str) -> None:
    def seconds(chars: int) -> float:
        goal = (part * chars)[:chars]
        began = time.thread_time()
        read_figures(goal)
        return time.thread_time() - began

    short = min(seconds(20_000) for _ in range(3))
    long = min(seconds(80_000) for _ in range(3))
    assert long < 9 * short, "four times as long takes four times as long; with the square it is 16"


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    read_figures(text)
