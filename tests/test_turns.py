"""Computing by turns: long computations interleave, end when they are cancelled, and pause for the loop."""

import gc
import threading
import weakref
from contextlib import suppress

import pytest
import trio
import trio.testing

from streamd.turns import Steps, Turns, run_at_once, run_with_pauses


class Count:
    """Computations of some steps, which note their names at each.

    Attributes:
        noted: the name of each step's computation.
        closed: the names of computations that were closed before their end.
    """

    def __init__(self) -> None:
        self.noted: list[str] = []
        self.closed: list[str] = []

    def steps(self, name: str, number: int) -> Steps[str]:
        try:
            for _ in range(number):
                self.noted.append(name)
                yield
        except GeneratorExit:
            self.closed.append(name)
            raise
        return name * 2


@pytest.mark.parametrize("run", [run_at_once, run_with_pauses])
def test_a_computation_returns_its_result(run: object) -> None:
    assert callable(run)
    assert run(Count().steps("a", 0)) == "aa"
    assert run(Count().steps("b", 3)) == "bb"


async def test_computations_take_turns_and_a_short_one_does_not_wait_for_a_long_one() -> None:
    count, turns = Count(), Turns(turn_seconds=0)  # a step each
    ended: list[str] = []

    async def run(name: str, number: int) -> None:
        ended.append(await turns.run(count.steps(name, number)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, "long", 10_000)
        while len(count.noted) < 10:
            await trio.lowlevel.checkpoint()
        nursery.start_soon(run, "short", 20)
        while "shortshort" not in ended:
            await trio.lowlevel.checkpoint()
        begun = count.noted.index("short")
        others = count.noted[begun:].count("long")
        assert others <= 25, "the short one has every other turn"
        assert not [name for name in ended if name == "longlong"]
        nursery.cancel_scope.cancel()
    assert count.closed == ["long"]


async def test_only_one_computation_runs_at_a_time() -> None:
    turns = Turns(turn_seconds=0)
    running, most = 0, 0
    lock = threading.Lock()

    def steps() -> Steps[None]:
        nonlocal running, most
        for _ in range(20):
            with lock:
                running += 1
                most = max(most, running)
            with lock:
                running -= 1
            yield

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(turns.run, steps())
    assert most == 1


async def test_cancelling_ends_a_computation_after_its_turn() -> None:
    count = Count()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Turns(turn_seconds=0).run, count.steps("a", 10**9))
            while len(count.noted) < 3:
                await trio.lowlevel.checkpoint()
            scope.cancel()
    assert count.closed == ["a"]


async def test_an_error_of_a_computation_is_raised() -> None:
    def steps() -> Steps[None]:
        yield
        raise ValueError("broken")

    turns = Turns()
    with pytest.raises(ValueError, match="broken"):
        await turns.run(steps())
    assert await turns.run(Count().steps("a", 1)) == "aa"


class Text:
    """Stands for the text that a computation decodes."""


async def test_the_text_of_a_failed_computation_is_freed_without_the_collector() -> None:
    texts: list[weakref.ref[Text]] = []

    def steps() -> Steps[None]:
        text = Text()
        texts.append(weakref.ref(text))
        yield
        raise ValueError("broken")

    gc.disable()
    try:
        with suppress(ValueError):  # pytest.raises would keep it
            await Turns().run(steps())
        with trio.fail_after(5):
            while texts[0]() is not None:  # the thread lets go of it a moment later
                await trio.lowlevel.checkpoint()
    finally:
        gc.enable()
