"""The scripts of the log."""

from importlib.resources import files
from typing import Final

from ...redis.script import Script

_FOLDER: Final = files(__package__) / "lua"
_COMMON: Final = (_FOLDER / "common.lua").read_text()


# Reading goes on while the server's memory is full, and so does what frees memory.
_READS: Final = "no-writes"
_FREES: Final = "allow-oom"


def _load(name: str, flags: str = "") -> Script:
    return Script(_COMMON + (_FOLDER / f"{name}.lua").read_text(), flags)


JOIN: Final = _load("join", _FREES)  # a few bytes, without which nothing could be read
APPEND: Final = _load("append")
READ: Final = _load("read", _READS)
SCAN: Final = _load("scan", _READS)
END_OF_APPEND: Final = _load("end_of_append", _READS)
COUNTS: Final = _load("counts", _READS)
DROP: Final = _load("drop", _FREES)
COMPACT: Final = _load("compact", _FREES)
FORGET: Final = _load("forget", _FREES)
