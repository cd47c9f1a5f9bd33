"""Turns of the fan-out: checkpoints only when the time is up, and deferred actions before them."""

import trio

from streamd.hub.turn import Turn

LONG_SECONDS, SHORT_SECONDS = 60.0, 1e-9


async def count_checkpoints(turn: Turn, pauses: int) -> int:
    """Pause several times, and return how often another trio task ran meanwhile."""
    passes = 0

    async def watch() -> None:
        nonlocal passes
        while True:
            await trio.lowlevel.checkpoint()
            passes += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        turn.begin()
        for _ in range(pauses):
            await turn.pause()
        nursery.cancel_scope.cancel()
    return passes


async def test_a_turn_that_is_not_over_has_no_checkpoint() -> None:
    resumed: list[None] = []
    assert await count_checkpoints(Turn(LONG_SECONDS, LONG_SECONDS, lambda: resumed.append(None)), 10) == 0
    assert not resumed


async def test_other_tasks_run_at_the_end_of_every_turn() -> None:
    resumed: list[None] = []
    turn = Turn(SHORT_SECONDS, SHORT_SECONDS, lambda: resumed.append(None))
    passes = await count_checkpoints(turn, 10)
    assert len(resumed) == 10
    assert passes >= 8  # the other task starts late by one, and is cancelled before its last


async def test_a_turn_lasts_three_times_as_long_as_others_took() -> None:
    now = 0.0
    ended: list[float] = []

    def end_of_others() -> None:
        nonlocal now
        ended.append(now)
        now += 2.0

    turn = Turn(1.0, 100.0, end_of_others, lambda: now)
    turn.begin()
    for now in (0.9, 1.0, 8.9, 9.0):  # noqa: B007 - the clock
        await turn.pause()
    assert ended == [1.0, 9.0]


async def test_an_action_deferred_several_times_runs_once() -> None:
    turn = Turn(LONG_SECONDS, LONG_SECONDS, lambda: None)
    calls: list[str] = []

    def flush() -> None:
        calls.append("flush")

    turn.begin()
    for _ in range(3):
        turn.defer(flush)
    assert not calls
    turn.end()
    turn.end()
    assert calls == ["flush"]


async def test_an_action_deferred_by_an_action_runs_in_the_same_turn() -> None:
    turn = Turn(LONG_SECONDS, LONG_SECONDS, lambda: None)
    calls: list[str] = []

    def second() -> None:
        calls.append("second")

    def first() -> None:
        calls.append("first")
        turn.defer(second)

    turn.begin()
    turn.defer(first)
    turn.end()
    assert calls == ["first", "second"]


async def test_between_turns_an_action_is_called_at_once() -> None:
    turn = Turn(SHORT_SECONDS, SHORT_SECONDS, lambda: None)
    calls: list[str] = []

    async def act_meanwhile() -> None:
        turn.defer(lambda: calls.append("meanwhile"))

    turn.defer(lambda: calls.append("before"))
    assert calls == ["before"]
    async with trio.open_nursery() as nursery:
        turn.begin()
        nursery.start_soon(act_meanwhile)
        for _ in range(2):  # the order of trio tasks within a pass is random
            await turn.pause()
        assert calls == ["before", "meanwhile"]
        turn.defer(lambda: calls.append("in the turn"))
        assert len(calls) == 2
    turn.end()
    turn.defer(lambda: calls.append("after"))
    assert calls == ["before", "meanwhile", "in the turn", "after"]
