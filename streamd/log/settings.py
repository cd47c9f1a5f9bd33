"""Settings of the event log."""

from collections.abc import Iterator
from typing import Final

import attrs

from ..config import Clash, check_order, positive, setting

KNOWN_LOG_URLS: Final = ("memory:",)


@attrs.frozen(kw_only=True)
class LogSettings:
    """Retention of events for replay."""

    url: str = setting(
        "memory:",
        "Which log: memory: keeps events in this process; they do not survive a restart.",
    )
    max_events: int = setting(100_000, "Events kept in all (count); the oldest go first.", positive)
    max_bytes: int = setting(
        268_435_456,
        "Bytes of events kept in all (bytes of topics, type and data).",
        positive,
    )
    max_age_seconds: float = setting(86_400.0, "Events older than this go (s).", positive)
    topic_max_events: int = setting(10_000, "Events kept under one topic (count).", positive)
    topic_max_bytes: int = setting(33_554_432, "Bytes of events kept under one topic (bytes).", positive)
    topic_max_age_seconds: float = setting(
        86_400.0,
        "Events under a topic older than this go (s); the shorter of this and max_age_seconds holds.",
        positive,
    )
    max_truncation_records: int = setting(
        100_000,
        "Topics for which the log remembers how far it dropped events (count); beyond it the oldest are "
        "folded into one record, which may report a gap where there was none.",
        positive,
    )

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions within the section."""
        if self.url not in KNOWN_LOG_URLS:
            yield Clash(("url",), "must be one of the known logs: " + ", ".join(KNOWN_LOG_URLS))
        yield from check_order(
            self, "topic_max_events", "max_events", "one topic cannot keep more than all of them"
        )
