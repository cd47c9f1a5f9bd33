"""The server's log: find errors that it did not expect."""

import re
from typing import Final

# The frame of an exception group stands before each line of its tracebacks.
_MARGIN: Final = r"[ |+-]*"
_BLOCK: Final = re.compile(
    rf"^{_MARGIN}Traceback \(most recent call last\):\n"
    rf"(?:{_MARGIN}[ \t]{{2}}.*\n|{_MARGIN}\n)*{_MARGIN}(?P<error>\w.*)",
    re.MULTILINE,
)
# A disk that is full or fails, or a server that is away: background work may say so with a traceback.
_EXPECTED: Final = (
    "apsw.FullError",
    "apsw.IOError",
    "streamd.errors.Unavailable",
    "streamd.errors.OutcomeUnknown",
)
# A request, connection or stream that is torn off is none of it.
_NEVER: Final = re.compile(
    r"^.*\b(?:application|connection|stream)_failed\b.*\n(?:(?!\d{4}-).*\n)*", re.MULTILINE
)


def unexpected_error(text: str) -> str | None:
    """Return the first error in a log that is not one of background work about the disk."""
    if failed := _NEVER.search(text):
        return failed[0]
    for block in _BLOCK.finditer(text):
        if not block["error"].startswith(_EXPECTED):
            return block[0]
    return None
