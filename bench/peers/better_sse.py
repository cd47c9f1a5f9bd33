"""The peer better-sse, on Node."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ..missing import Missing
from .base import APPS, BACKLOG, HOST, MADE, Peer, Setup, Workspace

PACKAGES: Final = ("better-sse@0.16.1",)
DIRECTORY: Final = MADE / "better-sse"


class BetterSSE(Peer):
    """`apps/better_sse.cjs`: one channel with all sessions."""

    about = "better-sse on Node's http server, channel.broadcast"

    def __init__(self) -> None:
        self.name = "better-sse"

    def version(self) -> str:
        done = subprocess.run([_node(), "--version"], capture_output=True, text=True, timeout=10, check=True)
        package = json.loads((_modules() / "better-sse" / "package.json").read_text())
        return f"better-sse {package['version']}, Node {done.stdout.strip()}"

    def command(self, setup: Setup, workspace: Workspace) -> list[str]:
        return [_node(), str(APPS / "better_sse.cjs"), HOST, str(workspace.port), str(BACKLOG)]

    def environment(self, setup: Setup, workspace: Workspace) -> Mapping[str, str]:
        return {"NODE_PATH": str(_modules()), "NODE_ENV": "production"}


def _node() -> str:
    program = shutil.which("node")
    if program is None:
        raise Missing("Node is not installed: install the Debian packages nodejs and npm")
    return program


def _modules() -> Path:
    modules = DIRECTORY / "node_modules"
    if not (modules / "better-sse" / "package.json").exists():
        raise Missing("better-sse is not installed: run `python -m bench install`")
    return modules
