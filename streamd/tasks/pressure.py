"""Shorter retention of ended tasks while the store is nearly full, so that it takes new ones again."""

from collections.abc import Mapping
from typing import Final

import attrs

from .kinds import Kind
from .settings import TaskSettings
from .store.port import Bounds

_PRESSED: Final = 7 / 8  # of the room: from here on, retention is halved with each sweep
_RELAXED: Final = 3 / 4
_LEVELS_FIRST: Final = 17  # halvings of a day, which leave less than a second
_LEVELS_MAX: Final = 2 * _LEVELS_FIRST


class RetentionPressure:
    """Halves the retention with each sweep that finds the store nearly full, and restores it afterwards.

    The tasks that ended first are deleted first, whatever their kind. Clients choose the names of kinds, so
    that those that no program has registered yield first: a client that fills the store does not remove the
    tasks of the services, unless nothing else is left.
    """

    def __init__(self) -> None:
        self._level = 0

    def note(self, fill: float) -> None:
        """Take the used part of the room, at each sweep."""
        if fill > _PRESSED:
            self._level = min(self._level + 1, _LEVELS_MAX)
        elif fill < _RELAXED:
            self._level = 0

    def bounds(
        self, kinds: Mapping[str, Kind], settings: TaskSettings
    ) -> tuple[Mapping[str, Bounds], Bounds]:
        """Return the bounds of each registered kind, and those of all others, under the present pressure."""
        default = Bounds(settings.keep_seconds, settings.max_per_kind)
        by_kind = {
            name: self.shorten(
                Bounds(kind.keep_seconds or default.keep_seconds, kind.max_kept or default.max_kept),
                is_registered=True,
            )
            for name, kind in kinds.items()
        }
        return by_kind, self.shorten(default, is_registered=False)

    def shorten(self, bounds: Bounds, *, is_registered: bool) -> Bounds:
        """Return the bounds of a kind under the present pressure."""
        level = self._level - (_LEVELS_FIRST if is_registered else 0)
        return bounds if level <= 0 else attrs.evolve(bounds, keep_seconds=bounds.keep_seconds / 2**level)
