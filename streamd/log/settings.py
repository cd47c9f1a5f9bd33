"""Settings of the event log."""

from collections.abc import Iterator
from typing import ClassVar, Final

import attrs

from ..config import Clash, check_order, one_of, positive, setting

KNOWN_LOG_URLS: Final = ("memory:",)


@attrs.frozen(kw_only=True)
class LogSettings:
    """The event log: its storage and its retention."""

    removed: ClassVar = {"max_truncation_records": "the log keeps 100_000 of these records"}

    url: str = setting(
        "memory:",
        "Storage of the log. memory: keeps events in this process; they do not survive a restart.",
        one_of(*KNOWN_LOG_URLS),
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

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions within the section."""
        yield from check_order(
            self, "topic_max_events", "max_events", "one topic cannot keep more events than the log"
        )
