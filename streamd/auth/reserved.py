"""Reserved topics: those that streamd and its services publish themselves."""

from collections.abc import Iterable
from typing import Final

from ..events import Pattern
from .grants import Grant

TASKS: Final = "tasks/"
MERCHANTS: Final = "merchant:"
RESERVED: Final = (TASKS, MERCHANTS)
"""The beginnings of the topics of streamd's own tasks, and of merchants."""


class ReservedTopics:
    """The topics that only their owners publish, each set of them named by its beginning.

    Args:
        prefixes: the beginnings, each with its separator, such as ``sentiment/``.
    """

    def __init__(self, prefixes: Iterable[str] = RESERVED) -> None:
        self._prefixes = tuple(prefixes)

    def add(self, *prefixes: str) -> None:
        """Reserve further topics."""
        self._prefixes += prefixes

    def prefix_of(self, topic: str) -> str | None:
        """Return the beginning under which a topic is reserved; None for other topics."""
        return next((prefix for prefix in self._prefixes if topic.startswith(prefix)), None)

    def blocked(self, topics: Iterable[str], grant: Grant) -> str | None:
        """Return a reserved topic that a grant does not name; None without one.

        A grant names a reserved topic if it has this topic, or a pattern that matches it and begins with
        the same letters: ``merchant:*:progress`` names some, ``*`` names none.
        """
        for topic in topics:
            if not topic.startswith(self._prefixes):
                continue
            prefix = self.prefix_of(topic)
            if prefix is not None and not _names(grant, topic, prefix):
                return topic
        return None


def _names(grant: Grant, topic: str, prefix: str) -> bool:
    return topic in grant.publish.topics or any(
        _begins(pattern, prefix) and pattern.matches(topic) for pattern in grant.publish.patterns
    )


def _begins(pattern: Pattern, prefix: str) -> bool:
    return pattern.text.startswith(prefix)
