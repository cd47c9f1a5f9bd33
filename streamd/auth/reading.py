"""Reading: the events that a caller may receive."""

from collections.abc import Callable, Iterable
from typing import Final

from ..events import Event, Selectors
from .caller import Caller
from .grants import TaskScope
from .reserved import MERCHANTS, TASKS

_REMEMBERED_MAX: Final = 500  # combinations of topics (count): some 20 kB for each connection


class AccessReader:
    """Decides for each event whether a caller may read it.

    An event may be read if one of its topics may be. Topics of tasks and merchants have owners; a grant's
    selectors do not cover them. All others are read by a grant, or by everybody if ``auth.anonymous`` is true
    and the event is not private.

    Args:
        caller: the caller; no administrator, who needs no reader.
        is_anonymous: returns the setting ``auth.anonymous``, which may change while the stream lasts.
        own_topics: the topics of tasks that were found to be the caller's.
    """

    __slots__ = ("_caller", "_is_anonymous", "_known", "own_topics")

    def __init__(
        self, caller: Caller, *, is_anonymous: Callable[[], bool], own_topics: Iterable[str] = ()
    ) -> None:
        self._caller = caller
        self._is_anonymous = is_anonymous
        self._known: dict[tuple[str, ...], bool] = {}
        self.own_topics = frozenset(own_topics)

    def own(self, topics: Iterable[str]) -> None:
        """Add topics of tasks that were found to be the caller's."""
        self.own_topics |= frozenset(topics)
        self._known.clear()

    def may_read(self, event: Event) -> bool:
        """Return True if the caller may read an event."""
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
            return merchant_of(topic) == self._caller.merchant != ""
        if topic.startswith(TASKS):
            return self._caller.grant.tasks is TaskScope.ALL or topic in self.own_topics
        return self._caller.grant.subscribe.matches((topic,))


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
