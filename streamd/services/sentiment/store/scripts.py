"""The scripts of items in Redis."""

from importlib.resources import files
from typing import Final

from ....redis import ChangeScript, ReadScript, Script

_FOLDER: Final = files(__package__) / "lua"


def _body(name: str) -> str:
    return "".join((_FOLDER / f"{part}.lua").read_text() for part in ("common", name))


_FREES: Final = "allow-oom"  # they delete what has expired

ACCEPTED: Final = ReadScript(_body("accepted"))
INSERT: Final = ChangeScript(_body("insert"))
VERSION: Final = Script(_body("version"), _FREES)
TOTALS: Final = Script(_body("totals"), _FREES)
PURGE: Final = Script(_body("purge"), _FREES)
