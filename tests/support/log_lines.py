"""Lines of the log that a test has captured."""

from collections.abc import Iterable
from typing import Any, Final

_OF_THE_MACHINE: Final = "wall_clock_stepped"  # its clock is set while the tests run


def faults(lines: Iterable[Any]) -> list[Any]:
    """Return the lines of warnings and errors, but for those about the machine itself."""
    return [
        line
        for line in lines
        if line["log_level"] in ("warning", "error", "critical") and line["event"] != _OF_THE_MACHINE
    ]
