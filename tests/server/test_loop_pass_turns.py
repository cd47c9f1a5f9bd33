"""The number of connection setups in a pass of the event loop."""

from collections import Counter
from functools import partial

import trio
from trio.testing import wait_all_tasks_blocked

from streamd.server.loop_passes import LoopPassLimiter

EACH_PASS, CALLERS = 4, 40


class PassCounter(trio.abc.Instrument):
    """Counts the passes of the event loop."""

    def __init__(self) -> None:
        self.passes = 0

    def after_io_wait(self, timeout: float) -> None:
        self.passes += 1


async def use_turns(callers: int) -> Counter[int]:
    """Let callers take a turn each, and return the number of turns by pass."""
    counter = PassCounter()
    turns: Counter[int] = Counter()
    limiter = LoopPassLimiter(EACH_PASS)

    async def take() -> None:
        await limiter.setup_turn()
        turns[counter.passes] += 1

    trio.lowlevel.add_instrument(counter)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(limiter.run)
            async with trio.open_nursery() as taking:
                for _ in range(callers):
                    taking.start_soon(take)
            nursery.cancel_scope.cancel()
    finally:
        trio.lowlevel.remove_instrument(counter)
    return turns


async def test_no_pass_has_more_turns_than_the_limit() -> None:
    turns = await use_turns(CALLERS)
    assert turns.total() == CALLERS
    assert max(turns.values()) <= EACH_PASS


async def test_every_pass_has_turns_while_callers_wait() -> None:
    turns = await use_turns(CALLERS)
    passes = max(turns) - min(turns) + 1
    assert passes <= CALLERS // EACH_PASS + 1  # the first turns are granted without waiting


async def test_callers_within_the_limit_do_not_wait() -> None:
    turns = await use_turns(EACH_PASS)
    assert list(turns.values()) == [EACH_PASS]


async def end_in_turns(ends: int, cancelled: int = 0) -> Counter[int]:
    """Let streams end, and return the number of ends by pass; of the trio tasks before, cancel some."""
    counter = PassCounter()
    turns: Counter[int] = Counter()
    limiter = LoopPassLimiter(EACH_PASS)

    def end(_: int) -> None:
        turns[counter.passes] += 1

    trio.lowlevel.add_instrument(counter)
    try:
        async with trio.open_nursery() as nursery:
            for _ in range(EACH_PASS):
                await limiter.teardown_turn()
            async with trio.open_nursery() as waiting:
                for _ in range(cancelled):
                    waiting.start_soon(limiter.teardown_turn)
                await wait_all_tasks_blocked()
                waiting.cancel_scope.cancel()
            for number in range(ends):
                limiter.call_in_turn(partial(end, number))
            nursery.start_soon(limiter.run)
            while turns.total() < ends:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    finally:
        trio.lowlevel.remove_instrument(counter)
    return turns


async def test_streams_whose_clients_leave_all_at_once_end_in_turns() -> None:
    turns = await end_in_turns(CALLERS)
    assert (turns.total(), max(turns.values())) == (CALLERS, EACH_PASS)


async def test_a_cancelled_teardown_takes_no_turn() -> None:
    assert len(await end_in_turns(EACH_PASS, cancelled=CALLERS)) == 1


async def test_a_stream_ends_at_once_while_turns_are_left() -> None:
    limiter, ended = LoopPassLimiter(EACH_PASS), list[int]()
    for number in range(EACH_PASS + 1):
        limiter.call_in_turn(partial(ended.append, number))
    assert ended == list(range(EACH_PASS))
