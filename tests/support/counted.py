"""Work that is counted, not timed: instructions of Python, and calls of functions."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


def count_instructions(function: Callable[[], object]) -> int:
    """Count the instructions of bytecode that a call runs in this thread; those of C do not count."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


@contextmanager
def calls_here(name: str) -> Iterator[list[str]]:
    """Collect the calls of the functions of a name in this thread, which runs the event loop."""
    calls = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_name == name:
            calls.append(name)

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)
