"""The floor: a minimal C server, a lower bound for the cost of a delivery on this machine."""

from typing import ClassVar

from ..native import build
from ..publisher import Encoding
from .base import Ability, Peer, Setup, Workspace


class Floor(Peer):
    """`native/floor.c`."""

    about = "a bare C broadcast loop over write(), a lower bound"
    announces = True
    abilities: ClassVar = frozenset({Ability.NDJSON})
    encoding = Encoding.JSON

    def __init__(self) -> None:
        self.name = "floor"

    def version(self) -> str:
        build("floor")
        return "native/floor.c"

    def command(self, setup: Setup, workspace: Workspace) -> list[str]:
        return [str(build("floor")), "--port", str(workspace.port)]
