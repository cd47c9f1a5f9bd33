"""All attacks: a module for each kind."""

import importlib
from typing import Final

KINDS: Final = ("http1", "http2", "websocket", "ndjson", "patterns", "tasks", "services")


def load_attacks() -> None:
    """Import the modules, so that :data:`tests.hostile.attack.ATTACKS` has all attacks."""
    for kind in KINDS:
        importlib.import_module(f"tests.hostile.{kind}")
