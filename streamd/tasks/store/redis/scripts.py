"""The scripts of the task store."""

from importlib.resources import files
from typing import Final

from ....log.redis.scripts import APPENDING, COMMON, FREES, QUEUED, READS
from ....redis.script import Script

_FOLDER: Final = files(__package__) / "lua"
_COMMON: Final = (_FOLDER / "common.lua").read_text()
_WRITE: Final = _COMMON + (_FOLDER / "write.lua").read_text()


def _load(name: str, functions: str, flags: str = "") -> Script:
    return Script(functions + (_FOLDER / f"{name}.lua").read_text(), flags)


def _reading(name: str) -> Script:
    return _load(name, COMMON + _COMMON, READS)


def _freeing(name: str) -> Script:
    """Load a script that frees memory, or needs so little that it may go on while the memory is full."""
    return _load(name, QUEUED + _COMMON, FREES)


CREATE: Final = _load("create", APPENDING + _WRITE)
CHANGE: Final = _load("change", APPENDING + _WRITE)
GET: Final = _reading("get")
OLDEST: Final = _reading("oldest")
FIND: Final = _reading("find")
DUE: Final = _reading("due")
TIME: Final = Script("return redis.call('TIME')\n", READS)
TOTALS: Final = _reading("totals")
UNPUBLISHED: Final = _reading("unpublished")
ENDING: Final = _reading("ending")
RENEW: Final = _freeing("renew")
LOSE: Final = _freeing("lose")
MARK: Final = _freeing("mark")
END: Final = _freeing("end")
EXPIRE: Final = _freeing("expire")
DISCARD: Final = _freeing("discard")
FORGET: Final = _freeing("forget")
