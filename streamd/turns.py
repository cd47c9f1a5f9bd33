"""Computing in worker threads, by turns: long computations interleave, and the event loop keeps its share.

A thread that only computes hands over the interpreter every 5 ms at best, so each pass of the event loop
waits for it, and for ten such threads ten times as long. And a short computation waits behind a long one.
"""

import time
from typing import Final, NoReturn, TypeVar

import attrs
import trio

from .steps import Steps, one_step, run_at_once

__all__ = ["Pauses", "Steps", "Turns", "one_step", "request_turns", "run_at_once", "run_with_pauses"]

T = TypeVar("T")
_TURN_SECONDS: Final = 0.01  # far longer than the 0.1 ms that the hop to a thread takes
_WORK_SECONDS: Final = 0.001  # computing time between two pauses
_PAUSE_SECONDS: Final = 0.0002  # long enough for the event loop to take the interpreter


@attrs.frozen
class _Result:
    """The result of a computation that has ended in its turn."""

    value: object

    def unwrap(self) -> object:
        """Return the result."""
        return self.value


@attrs.frozen
class _Failure:
    """The error of a computation that has failed in its turn."""

    error: Exception

    def unwrap(self) -> NoReturn:
        """Raise the error."""
        try:
            raise self.error
        finally:
            del self  # which would be in a cycle with the error's traceback


class Pauses:
    """Pauses of a worker thread that computes, in which the event loop gets the interpreter."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def take(self) -> None:
        """Pause for a moment, if this thread has computed for a millisecond since the last pause."""
        if time.perf_counter() - self._began >= _WORK_SECONDS:
            time.sleep(_PAUSE_SECONDS)
            self._began = time.perf_counter()


def run_with_pauses(steps: Steps[T]) -> T:
    """Run a computation to its end in this worker thread, with pauses for the event loop."""
    ended = _run_until(steps, float("inf"))
    assert ended is not None
    try:
        return ended.unwrap()  # type: ignore[return-value]  # it is this computation's
    finally:
        del ended


class Turns:
    """Worker threads that run several computations, one at a time, in turns of some milliseconds.

    Those that wait for a turn get one in the order in which they asked, so that each is delayed by the number
    of computations, and not by their length.

    Args:
        turn_seconds: duration of a turn (s); the step that goes on then is finished.
    """

    def __init__(self, turn_seconds: float = _TURN_SECONDS) -> None:
        self._turn_seconds: Final = turn_seconds
        # A second computing thread would only share the interpreter.
        self._limiter: Final = trio.CapacityLimiter(1)

    async def run(self, steps: Steps[T]) -> T:
        """Run a computation to its end, and return its result, or raise its error.

        Cancelling closes the computation after the turn that goes on.
        """
        ended = None
        try:
            while ended is None:
                ended = await trio.to_thread.run_sync(self._take_turn, steps, limiter=self._limiter)
            return ended.unwrap()  # type: ignore[return-value]  # as above
        finally:
            steps.close()
            del ended

    def _take_turn(self, steps: Steps[object]) -> _Result | _Failure | None:
        return _run_until(steps, time.perf_counter() + self._turn_seconds)


def _run_until(steps: Steps[object], until: float) -> _Result | _Failure | None:
    """Run steps until a time, at least one, with pauses; return the result if the computation has ended.

    An error is a result, too: one that leaves a worker thread of trio is kept in cycles by its traceback,
    with the whole text that was decoded, until the garbage collector finds it.
    """
    pauses = Pauses()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return _Result(end.value)
        except Exception as error:  # noqa: BLE001 - it is raised where the result is used
            # The frames of this thread hold what it returns.
            return _Failure(error.with_traceback(error.__traceback__ and error.__traceback__.tb_next))
        if time.perf_counter() >= until:
            return None
        pauses.take()


_shared: Final[trio.lowlevel.RunVar[Turns]] = trio.lowlevel.RunVar("request_turns")


def request_turns() -> Turns:
    """Return the worker threads that all parsers of large client data share in the present event loop."""
    try:
        return _shared.get()
    except LookupError:
        found = Turns()
        _shared.set(found)
        return found
