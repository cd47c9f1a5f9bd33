"""Retention: the bounds of the events that are kept under one topic."""

import attrs

from ..events import Pattern
from .settings import LogSettings


@attrs.frozen
class TopicBounds:
    """The bounds of one topic.

    Args:
        max_events: maximum number of events (count).
        max_bytes: maximum size of all events (bytes).
        max_age_seconds: maximum age of an event (s).
    """

    max_events: int
    max_bytes: int
    max_age_seconds: float


class Retention:
    """The bounds of each topic: those of the first rule that matches it, or the common ones.

    An event with several topics is dropped when the first of them is full, or too old for it.
    """

    def __init__(self, settings: LogSettings) -> None:
        self._common = TopicBounds(
            settings.topic_max_events,
            settings.topic_max_bytes,
            min(settings.max_age_seconds, settings.topic_max_age_seconds),
        )
        self._rules = [
            (
                Pattern(rule.pattern),
                TopicBounds(
                    self._common.max_events if rule.max_events is None else rule.max_events,
                    self._common.max_bytes if rule.max_bytes is None else rule.max_bytes,
                    self._common.max_age_seconds if rule.max_age_seconds is None else rule.max_age_seconds,
                ),
            )
            for rule in settings.retention
        ]

    def bounds(self, topic: str) -> TopicBounds:
        """Return the bounds of a topic."""
        for pattern, bounds in self._rules:
            if pattern.matches(topic):
                return bounds
        return self._common
