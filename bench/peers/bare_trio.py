"""Bare trio with httptools and a nursery a connection: what Python needs without streamd's work."""

import sys
from importlib import metadata

from ..publisher import Encoding
from .base import Peer, Setup, Workspace


class BareTrio(Peer):
    """`apps/bare_trio.py`."""

    about = "bare trio with httptools, a nursery a connection"
    announces = True
    encoding = Encoding.JSON

    def __init__(self) -> None:
        self.name = "bare-trio"

    def version(self) -> str:
        return f"trio {metadata.version('trio')}, httptools {metadata.version('httptools')}"

    def command(self, setup: Setup, workspace: Workspace) -> list[str]:
        return [sys.executable, "-m", "bare_trio", str(workspace.port)]
