"""Settings of the event log."""

from collections.abc import Iterator
from typing import ClassVar

import attrs

from ..characters import check_text
from ..config import Check, Clash, check_order, positive, required, setting, to_toml, tuning
from ..database.settings import is_storage_url
from ..errors import InvalidField
from ..events import Pattern
from ..redis.address import REDIS_FORMS, is_redis_url


def _is_log_url(url: str) -> bool:
    return is_storage_url(url) or is_redis_url(url)


def _is_pattern(text: str) -> bool:
    try:
        Pattern(check_text(text, "pattern"))
    except InvalidField:
        return False
    return True


@attrs.frozen(kw_only=True)
class RetentionRule:
    """Bounds of each topic that matches a pattern; None: as for all topics.

    Raises:
        ValueError: a value is invalid, or the rule has no bound.
    """

    pattern: str = required(
        "Topics to which the rule applies: * matches one segment, a last segment ** the rest.",
        Check("a pattern: not empty, without bidi overrides, ** only as its last segment", _is_pattern),
    )
    max_age_seconds: float | None = setting(None, "Maximum age of an event (s).", positive)
    max_events: int | None = setting(None, "Maximum number of events under one topic (count).", positive)
    max_bytes: int | None = setting(None, "Maximum size of all events under one topic (bytes).", positive)

    def __attrs_post_init__(self) -> None:
        if self.max_age_seconds is None and self.max_events is None and self.max_bytes is None:
            raise ValueError(
                f"the rule for {to_toml(self.pattern)} must have max_age_seconds, max_events or max_bytes"
            )


@attrs.frozen(kw_only=True)
class LogSettings:
    """The event log: its storage and its retention."""

    removed: ClassVar = {"max_truncation_records": "the log keeps 100_000 of these records"}

    url: str = setting(
        "",
        "Storage of the log. sqlite:PATH keeps events in a file that one streamd uses alone, memory: in this "
        "process only. Empty: where store.url keeps tasks; then a task and its events share one transaction. "
        f"Redis is shared by several nodes: {REDIS_FORMS}.",
        Check("sqlite:PATH, memory:, a URL of Redis or empty", _is_log_url),
    )
    max_events: int = setting(
        100_000, "Maximum number of events (count). The oldest are dropped first.", positive, reload=True
    )
    max_bytes: int = setting(
        268_435_456,
        "Maximum size of all events: topics, type and data (bytes). The oldest are dropped first.",
        positive,
        reload=True,
    )
    max_age_seconds: float = setting(86_400.0, "Maximum age of an event (s).", positive, reload=True)
    topic_max_events: int = setting(
        10_000, "Maximum number of events under one topic (count).", positive, reload=True
    )
    topic_max_bytes: int = setting(
        33_554_432, "Maximum size of all events under one topic (bytes).", positive, reload=True
    )
    topic_max_age_seconds: float = setting(
        86_400.0,
        "Maximum age of an event under a topic (s). The shorter of this and max_age_seconds applies.",
        positive,
        reload=True,
    )
    retention: list[RetentionRule] = setting(
        [],
        "Bounds of topics that match a pattern, instead of topic_max_age_seconds, topic_max_events and "
        "topic_max_bytes; the first rule that matches a topic applies. max_events and max_bytes of the whole "
        "log apply as well; max_age_seconds does not to a rule that has its own. A rule needs one bound or "
        "more; those that it lacks are as for all topics.",
        reload=True,
        example=[
            RetentionRule(
                pattern="streams/**", max_age_seconds=2_592_000.0, max_events=50_000, max_bytes=67_108_864
            )
        ],
    )
    idempotency_seconds: float = setting(
        86_400.0,
        "How long the idempotency key of an event is known (s), also after the event was dropped.",
        positive,
        reload=True,
    )
    max_idempotency_keys: int = tuning(
        200_000,
        "Maximum number of known idempotency keys (count). The oldest are forgotten first.",
        positive,
        reload=True,
    )

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions within the section."""
        yield from check_order(
            self, "topic_max_events", "max_events", "one topic cannot keep more events than the log"
        )
