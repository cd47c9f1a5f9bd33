"""Grants: the rights of callers."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import attrs

from ..events import Selectors
from ..events.topics import ALL


class TaskScope(StrEnum):
    """The tasks that a caller may create, read, follow, report on and cancel."""

    NONE = "none"
    OWN = "own"
    ALL = "all"


@attrs.frozen
class Grant:
    """The rights of a caller.

    Args:
        publish: the topics that it may publish to.
        subscribe: the topics whose events it may read.
        tasks: the tasks that it may use.
        admin: it may read everything, use all tasks, see and operate on connections, and read the metrics.
    """

    publish: Selectors = Selectors()
    subscribe: Selectors = Selectors()
    tasks: TaskScope = TaskScope.NONE
    admin: bool = False

    def covers_publishing(self, topics: Iterable[str]) -> bool:
        """Return True if an event under these topics may be published: each of them is granted."""
        return all(self.publish.matches((topic,)) for topic in topics)

    def covers_reading(self, topics: Iterable[str]) -> bool:
        """Return True if an event under these topics may be read: one of them is granted."""
        return self.admin or self.subscribe.matches(topics)


NOTHING: Final = Grant()
EVERYTHING: Final = Grant(ALL, ALL, TaskScope.ALL, admin=True)
