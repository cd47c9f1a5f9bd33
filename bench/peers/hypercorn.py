"""Stock Hypercorn with a plain ASGI application: streamd without its own server."""

from importlib import metadata
from typing import ClassVar

from .base import Ability, Peer, Setup, Workspace
from .streamd import hypercorn_command


class Hypercorn(Peer):
    """`apps/plain_asgi.py`: a memory channel for each client."""

    about = "stock Hypercorn, trio worker, a plain ASGI application with a memory channel a client"
    abilities: ClassVar = frozenset({Ability.HTTP2, Ability.TLS})

    def __init__(self) -> None:
        self.name = "hypercorn"

    def version(self) -> str:
        return f"Hypercorn {metadata.version('hypercorn')}, trio {metadata.version('trio')}"

    def command(self, setup: Setup, workspace: Workspace) -> list[str]:
        return hypercorn_command("plain_asgi:app", workspace)
