"""The scripts of the log."""

from importlib.resources import files
from typing import Final

from ...redis.script import Script

_FOLDER: Final = files(__package__) / "lua"
COMMON: Final = (_FOLDER / "common.lua").read_text()
"""The functions of all scripts in the keys of the log."""

QUEUED: Final = COMMON + (_FOLDER / "queue.lua").read_text()
"""The functions of scripts that a :class:`.appending.ScriptQueue` sends."""

APPENDING: Final = QUEUED + (_FOLDER / "events.lua").read_text()
"""The functions of queued scripts that append events."""

# Reading goes on while the server's memory is full, and so does what frees memory.
READS: Final = "no-writes"
FREES: Final = "allow-oom"


def _load(name: str, flags: str = "") -> Script:
    return Script(COMMON + (_FOLDER / f"{name}.lua").read_text(), flags)


JOIN: Final = _load("join", FREES)  # a few bytes, without which nothing could be read
APPEND: Final = Script(APPENDING + (_FOLDER / "append.lua").read_text())
READ: Final = _load("read", READS)
SCAN: Final = _load("scan", READS)
END_OF_APPEND: Final = _load("end_of_append", READS)
COUNTS: Final = _load("counts", READS)
DROP: Final = _load("drop", FREES)
COMPACT: Final = _load("compact", FREES)
FORGET: Final = _load("forget", FREES)
