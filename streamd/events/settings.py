"""Limits of events and of requests that publish them."""

import attrs

from ..config import positive, setting, tuning


@attrs.frozen(kw_only=True)
class EventSettings:
    """Limits of events, and of the requests that publish them."""

    max_event_bytes: int = setting(
        1_048_576,
        "Maximum size of an event: topics, type and data (bytes; binary data counts as its base64, 4/3 of its"
        " size). Larger ones are rejected with 413.",
        positive,
    )
    max_topics_per_event: int = tuning(16, "Maximum number of topics of an event (count).", positive)
    max_topic_bytes: int = tuning(1024, "Maximum length of a topic (bytes of UTF-8).", positive)
    max_body_bytes: int = setting(
        8_388_608,
        "Maximum size of a request body (bytes). Streamed NDJSON is limited by tuning.events.max_line_bytes.",
        positive,
    )
    max_line_bytes: int = tuning(2_097_152, "Maximum length of a line of NDJSON (bytes).", positive)
    body_timeout_seconds: float = tuning(60.0, "Timeout for receiving a request body (s).", positive)
    max_idempotency_key_bytes: int = tuning(
        256, "Maximum length of an idempotency key (bytes of UTF-8).", positive
    )
    max_batch_events: int = tuning(
        1000,
        "Maximum number of events in one JSON array (count). They may have four times as many topics in all.",
        positive,
    )


@attrs.frozen(kw_only=True)
class PublishSettings:
    """Publishing of many events in one request."""

    max_errors: int = setting(
        1000,
        "Maximum number of wrong lines in one NDJSON body (count); then its last answer says at which line it"
        " ended.",
        positive,
        reload=True,
    )
