"""The floor: a bare C loop of `write`, the least a server on this machine can cost."""

from typing import ClassVar

from ..native import build
from ..publisher import Encoding
from .base import Ability, Peer, Place, Setup


class Floor(Peer):
    """`native/floor.c`."""

    about = "a bare C broadcast loop over write(), the physical limit"
    announces = True
    abilities: ClassVar = frozenset({Ability.NDJSON})
    encoding = Encoding.JSON

    def __init__(self) -> None:
        self.name = "floor"

    def version(self) -> str:
        build("floor")
        return "native/floor.c"

    def command(self, setup: Setup, place: Place) -> list[str]:
        return [str(build("floor")), "--port", str(place.port)]
