"""The scripts of items in Redis."""

from importlib.resources import files
from typing import Final

from ....redis import ChangeScript, ReadScript, Script

_FOLDER: Final = files(__package__) / "lua"


def _body(name: str) -> str:
    return "".join((_FOLDER / f"{part}.lua").read_text() for part in ("common", name))


ACCEPTED: Final = ReadScript(_body("accepted"))
INSERT: Final = ChangeScript(_body("insert"))
VERSION: Final = Script(_body("version"))
TOTALS: Final = Script(_body("totals"))
PURGE: Final = Script(_body("purge"))
