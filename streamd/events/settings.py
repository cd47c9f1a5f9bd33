"""Limits of events and of requests that publish them."""

import attrs

from ..config import positive, setting


@attrs.frozen(kw_only=True)
class EventSettings:
    """Limits of one event, and of one request that publishes."""

    max_event_bytes: int = setting(
        1_048_576,
        "Largest event: topics, type and data (bytes). A larger one is refused with 413.",
        positive,
    )
    max_topics_per_event: int = setting(16, "Topics one event may be published under (count).", positive)
    max_topic_bytes: int = setting(1024, "Longest topic (bytes of UTF-8).", positive)
    max_body_bytes: int = setting(
        8_388_608,
        "Largest body of a request (bytes). NDJSON that comes in chunks is bounded by the line instead.",
        positive,
    )
    max_line_bytes: int = setting(2_097_152, "Longest line of NDJSON (bytes).", positive)
    body_timeout_seconds: float = setting(60.0, "A body that arrives slower is refused (s).", positive)
    max_idempotency_key_bytes: int = setting(256, "Longest idempotency key (bytes of UTF-8).", positive)
    max_batch_events: int = setting(1000, "Events in one JSON array (count).", positive)
