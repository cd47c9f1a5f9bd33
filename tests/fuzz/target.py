"""A target of the fuzzer: one parser of bytes from outside, and the rules that hold for all its inputs."""

import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import attrs
import msgspec

from streamd.errors import StreamdError

STEP_SECONDS_MAX: Final = 1.0
"""Maximum CPU time of one step (s). The wall clock would measure the other programs of the machine, too."""
_DETAIL_CHARS_MAX: Final = 600  # a sentence, and at most 200 characters of what was sent, escaped

T = TypeVar("T")


class SlowStep(Exception):
    """A step took more than :data:`STEP_SECONDS_MAX`."""


@attrs.frozen
class Target:
    """A parser, its rules and its first inputs.

    Args:
        run: one step: parses an input, and fails if a rule does not hold. Errors that the parser documents
            are no failure, and do not leave it.
        seeds: inputs to begin with, most of them valid.
        words: texts that are put into inputs.
        max_bytes: maximum length of an input (bytes).
    """

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()
    max_bytes: int = 1024

    def take(self, data: bytes, clock: Callable[[], float] = time.thread_time) -> None:
        """Take one step.

        Raises:
            SlowStep: it took too long.
            Exception: whatever the parser raised that it does not document.
        """
        began = clock()
        self.run(data)
        seconds = clock() - began
        if seconds > STEP_SECONDS_MAX:
            raise SlowStep(f"the step took {seconds:.1f} s of CPU time")


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that has nothing to wait for."""
    try:
        work.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    work.close()
    raise AssertionError("the parser waits for something")


def check_refusal(error: StreamdError) -> None:
    """Check that an error can be sent to a client, and quotes little of the input."""
    msgspec.json.encode({"detail": error.detail, "field": error.field})  # fails for half of a surrogate pair
    assert len(error.detail) <= _DETAIL_CHARS_MAX, f"the detail has {len(error.detail)} characters"


def split(data: bytes, lengths: bytes) -> list[bytes]:
    """Split bytes into parts whose lengths repeat the values of ``lengths``, of which 0 counts as 1."""
    parts = []
    at = number = 0
    while at < len(data):
        length = max(lengths[number % len(lengths)], 1) if lengths else 1
        parts.append(data[at : at + length])
        at += length
        number += 1
    return parts
