"""Reading: the events that a caller may receive."""

from collections.abc import Callable, Iterable
from typing import Final, Self

import attrs

from ..events import Event, Selectors
from .caller import Caller
from .grants import TaskScope
from .reserved import MERCHANTS, TASKS

_REMEMBERED_MAX: Final = 500  # combinations of topics (count): some 20 kB


@attrs.frozen
class ReadingScope:
    """The extent of a caller's rights to read events.

    Args:
        merchant: whose topics it may read; empty for none.
        granted: the topics that its grant names.
        all_tasks: it may read the topics of all tasks.
        own_topics: the topics of tasks that were found to be its own.
    """

    merchant: str
    granted: Selectors
    all_tasks: bool
    own_topics: frozenset[str]

    @classmethod
    def of(cls, caller: Caller, own_topics: Iterable[str]) -> Self:
        """Return the scope of a caller's grant, and of some topics of its tasks."""
        grant = caller.grant
        all_tasks = grant.tasks is TaskScope.ALL
        return cls(caller.merchant, grant.subscribe, all_tasks, frozenset(own_topics))


@attrs.frozen(eq=False, weakref_slot=True)
class ReadingRights:
    """The rights of callers to read events. Those with equal rights share one object.

    An event may be read if one of its topics may be. Topics of tasks and merchants have owners; a grant's
    selectors do not cover them. All others are read by a grant, or by everybody if ``auth.anonymous`` is true
    and the event is not private.

    Args:
        scope: of the callers, no administrators, who need no rights.
        is_anonymous: returns the setting ``auth.anonymous``, which may change while streams last.
    """

    scope: "ReadingScope"
    _is_anonymous: Callable[[], bool]
    _known: dict[tuple[str, ...], bool] = attrs.field(factory=dict, init=False, repr=False)

    def may_read(self, event: Event) -> bool:
        """Return True if the callers may read an event."""
        granted = self._known.get(event.topics)
        if granted is None:
            if len(self._known) >= _REMEMBERED_MAX:
                self._known.clear()
            granted = self._known[event.topics] = any(map(self._is_granted, event.topics))
        return granted or (
            not event.private and self._is_anonymous() and not all(map(has_owner, event.topics))
        )

    def _is_granted(self, topic: str) -> bool:
        if topic.startswith(MERCHANTS):
            return merchant_of(topic) == self.scope.merchant != ""
        if topic.startswith(TASKS):
            return self.scope.all_tasks or topic in self.scope.own_topics
        return self.scope.granted.matches((topic,))


def has_owner(topic: str) -> bool:
    """Return True for the topics of merchants and of tasks."""
    return topic.startswith((MERCHANTS, TASKS))


def merchant_of(topic: str) -> str:
    """Return the merchant of one of its topics."""
    return topic[len(MERCHANTS) :].partition(":")[0]


def foreign_merchant(selectors: Selectors, caller: Caller) -> str | None:
    """Return a topic or pattern that names one merchant who is not the caller's; None without one."""
    names = (*selectors.topics, *(pattern.text for pattern in selectors.patterns))
    for name in names:
        if name.startswith(MERCHANTS):
            merchant = merchant_of(name)
            if merchant not in ("*", "**") and (merchant == "" or merchant != caller.merchant):
                return name
    return None


def tasks_of(selectors: Selectors) -> list[str]:
    """Return the ids of the tasks whose topics are selected by name."""
    return [topic.removeprefix(TASKS) for topic in selectors.topics if topic.startswith(TASKS)]
