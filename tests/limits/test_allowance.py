"""The allowance of one connection, on a virtual clock."""

import trio
import trio.testing

from streamd.limits import Allowance


async def test_it_is_full_at_first_and_refilled(autojump_clock: trio.testing.MockClock) -> None:
    allowance = Allowance(burst=3, per_second=2.0)
    assert [allowance.spend() for _ in range(4)] == [True, True, True, False]
    await trio.sleep(1)
    assert [allowance.spend() for _ in range(2)] == [True, False]  # the one refused before is a debt
    await trio.sleep(1000)
    spent = 0
    while allowance.spend():
        spent += 1
    assert spent == 3


async def test_a_steady_rate_is_never_refused(autojump_clock: trio.testing.MockClock) -> None:
    allowance = Allowance(burst=3, per_second=2.0)
    for _ in range(1000):
        assert allowance.spend()
        await trio.sleep(0.5)
