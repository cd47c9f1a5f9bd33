"""The scripts of orders in Redis."""

from importlib.resources import files
from typing import Final

from ....redis import ChangeScript, ReadScript

_FOLDER: Final = files(__package__) / "lua"


def _body(name: str) -> str:
    return "".join((_FOLDER / f"{part}.lua").read_text() for part in ("common", name))


RECEIVE: Final = ChangeScript(_body("receive"))
FORGET: Final = ChangeScript(_body("forget"), frees=True)
UPDATE: Final = ChangeScript(_body("update"))
SAVED: Final = ChangeScript(_body("saved"))
PARTS: Final = ChangeScript(_body("parts"))
END: Final = ChangeScript(_body("end"), frees=True)
COUNT: Final = ChangeScript(_body("count"))
DRAFT: Final = ChangeScript(_body("draft"))
FIELDS: Final = ReadScript(_body("fields"))
FIND: Final = ReadScript(_body("find"))
OPEN: Final = ReadScript(_body("open"))
