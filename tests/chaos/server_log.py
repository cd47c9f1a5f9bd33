"""The server's log: find errors that it did not expect."""

import re
from typing import Final

_BLOCK: Final = re.compile(
    r"^Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*(?P<error>\S[^\n]*)", re.MULTILINE
)
# A disk that is full or fails: the server may say so with a traceback.
_EXPECTED: Final = ("apsw.FullError", "apsw.IOError", "streamd.errors.Unavailable")


def unexpected_traceback(text: str) -> str | None:
    """Return the first traceback in a log that is not about the disk."""
    for block in _BLOCK.finditer(text):
        if not block["error"].startswith(_EXPECTED):
            return block[0]
    return None
