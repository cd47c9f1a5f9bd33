"""The budgets of an HTTP/2 connection: bursts, refilling by time, and what DATA frames and requests earn."""

import trio
from trio.testing import MockClock

from streamd.limits.gcra import Rate
from streamd.server.http2_budgets import CONTROL, Budget, FrameBudgets


def drain(budgets: FrameBudgets) -> int:
    """Take control tokens one by one, and return how many there were."""
    taken = 0
    while budgets.take_control(1):
        taken += 1
    return taken


async def test_a_budget_gives_its_burst_and_then_what_it_earns(mock_clock: MockClock) -> None:
    budget = Budget(Rate(per_second=4, burst=8))
    assert [budget.take(1) for _ in range(9)] == [True] * 8 + [False]
    mock_clock.jump(0.5)
    assert [budget.take(1) for _ in range(3)] == [True, True, False]
    mock_clock.jump(1_000)
    assert not budget.take(9)
    assert budget.take(8), "a refusal takes nothing"
    assert not budget.take(1)
    budget.earn(1)
    assert budget.take(1)


async def test_no_more_than_the_burst_is_saved(mock_clock: MockClock) -> None:
    budgets = FrameBudgets()
    for _ in range(10 * CONTROL.burst):
        budgets.note_sent(100, is_cut=False)
    assert drain(budgets) == CONTROL.burst


async def test_whole_frames_and_requests_pay_for_the_updates_that_follow(mock_clock: MockClock) -> None:
    budgets = FrameBudgets()
    drain(budgets)
    for _ in range(10_000):  # a subscriber that acknowledges each event on its stream and on the connection
        budgets.note_sent(50, is_cut=False)
        assert budgets.take_control(2)
    drain(budgets)
    for _ in range(10_000):
        budgets.note_request()
        assert budgets.take_control(3)


async def test_a_frame_that_a_small_window_cuts_short_earns_nothing(mock_clock: MockClock) -> None:
    budgets = FrameBudgets()
    drain(budgets)
    budgets.note_sent(1, is_cut=True)
    assert not budgets.take_control(1)
    budgets.note_sent(16_384, is_cut=True)
    assert budgets.take_control(1)


async def test_pings_of_a_normal_client_never_end(autojump_clock: MockClock) -> None:
    budgets = FrameBudgets()
    for _ in range(20_000):
        assert budgets.take_control(1)
        await trio.sleep(0.01)
