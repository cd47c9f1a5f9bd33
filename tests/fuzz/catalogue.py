"""The targets by name: ``MODULE.TARGET`` of the folder ``targets``."""

import importlib
from typing import Final

from tests.fuzz.target import Target

MODULES: Final = (
    "addresses",
    "bodies",
    "credentials",
    "frames",
    "http1",
    "keys",
    "lines",
    "messages",
    "orders",
    "selectors",
    "tokens",
)


def find_target(name: str) -> Target:
    """Return a target. Only its own module is imported.

    Raises:
        KeyError: there is no such target.
    """
    module, _, target = name.partition(".")
    if module not in MODULES:
        raise KeyError(name)
    return _targets_of(module)[target]


def list_targets() -> list[str]:
    """Return the names of all targets."""
    return [f"{module}.{name}" for module in MODULES for name in _targets_of(module)]


def _targets_of(module: str) -> dict[str, Target]:
    targets: dict[str, Target] = importlib.import_module(f"tests.fuzz.targets.{module}").TARGETS
    return targets
