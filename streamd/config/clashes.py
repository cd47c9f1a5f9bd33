"""Settings that contradict each other, which no check of a single value finds.

A section, a group or the root names them in a method ``clashes(self) -> Iterator[Clash]``. Paths in a clash
are attribute paths below the object whose method it is.
"""

from collections.abc import Callable, Iterable, Iterator

import attrs

from .fields import sections_within, value_at


@attrs.frozen
class Clash:
    """Settings that cannot be used together, or a text of the wrong form."""

    paths: tuple[str, ...]
    right: str  # completes "PATH = VALUE: "

    def advice(self, paths: tuple[str, ...]) -> str:
        """Return the advice to the operator, who knows the settings by ``paths``."""
        return self.right


@attrs.frozen
class OrderClash(Clash):
    """A setting that is more than another, which bounds it; ``right`` is the reason."""

    def advice(self, paths: tuple[str, ...]) -> str:
        return f"must not be more than {paths[1]}: {self.right}"


def check_order(settings: object, smaller: str, larger: str, reason: str) -> Iterator[Clash]:
    """Yield a clash if the setting ``smaller`` is more than ``larger``; both are attribute paths."""
    if value_at(settings, smaller) > value_at(settings, larger):
        yield OrderClash((smaller, larger), reason)


def find_clashes(settings: object) -> Iterator[Clash]:
    """Yield every clash within ``settings``, with attribute paths below ``settings``."""
    for prefix, part in sections_within(settings):
        clashes: Callable[[], Iterable[Clash]] = getattr(part, "clashes", tuple)
        for clash in clashes():
            yield attrs.evolve(clash, paths=tuple(prefix + path for path in clash.paths))
