"""Settings of client connections and of long polling."""

from collections.abc import Iterator

import attrs

from ..config import INT32_MAX, Clash, at_most, check_order, not_negative, positive, setting


@attrs.frozen(kw_only=True)
class ConnectionSettings:
    """The number of clients, their heartbeats, and the limits for slow ones."""

    max_connections: int = setting(
        10_000,
        "Connections at once (count); the next is answered 503 with Retry-After.",
        positive,
    )
    max_per_user: int = setting(
        0,
        "Connections of one user at once (count; 0: no limit of its own).",
        not_negative,
    )
    max_per_address: int = setting(
        0,
        "Connections from one address at once (count; 0: no limit of its own).",
        not_negative,
    )
    retry_after_seconds: float = setting(5.0, "What Retry-After says when there is no place (s).", positive)
    max_topics: int = setting(100, "Topics and patterns one subscription may name (count).", positive)
    max_pattern_bytes: int = setting(1024, "Longest pattern (bytes of UTF-8).", positive)
    heartbeat_seconds: float = setting(
        15.0,
        "A connection that was quiet for this long gets a heartbeat (s).",
        positive,
    )
    min_heartbeat_seconds: float = setting(
        1.0,
        "The shortest heartbeat a client may ask for (s).",
        positive,
    )
    max_heartbeat_seconds: float = setting(
        300.0,
        "The longest heartbeat a client may ask for (s).",
        positive,
    )
    unhealthy_seconds: float = setting(
        30.0,
        "Queued bytes that make no progress for this long make a connection unhealthy (s).",
        positive,
    )
    stale_seconds: float = setting(
        120.0,
        "Queued bytes that make no progress for this long make it stale; it is then closed (s).",
        positive,
    )
    sweep_seconds: float = setting(
        1.0,
        "How often connections are looked at for heartbeats, health and lifetime (s).",
        positive,
    )
    max_lifetime_seconds: float = setting(
        0.0,
        "A connection is ended with `closing` after this, to reconnect (s; 0: no limit).",
        not_negative,
    )
    lifetime_jitter: float = setting(
        0.1,
        "How much of the lifetime is random, so that clients do not return all at once (0 to 1).",
        not_negative,
        at_most(1),
    )
    retry_ms: int = setting(
        2000,
        "Reconnection time sent to SSE clients when a stream opens (ms, WHATWG `retry`).",
        not_negative,
    )
    replaced_retry_ms: int = setting(
        86_400_000,
        "Reconnection time for a client that another with its client id replaced (ms): it should not come "
        "back by itself, or the two would replace each other for ever.",
        not_negative,
        at_most(INT32_MAX),
    )
    max_client_id_chars: int = setting(128, "Longest client id (count of characters).", positive)
    max_listed: int = setting(1000, "Connections that /connections lists at most (count).", positive)
    max_message_bytes: int = setting(65_536, "Largest message a WebSocket client may send (bytes).", positive)

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions within the section."""
        yield from check_order(
            self, "unhealthy_seconds", "stale_seconds", "a connection is unhealthy before it is stale"
        )
        yield from check_order(
            self, "min_heartbeat_seconds", "max_heartbeat_seconds", "clients choose between them"
        )


@attrs.frozen(kw_only=True)
class PollSettings:
    """Long-poll, for networks that spoil streams."""

    wait_seconds: float = setting(
        25.0,
        "How long a poll waits when the client does not say (s).",
        not_negative,
    )
    max_wait_seconds: float = setting(55.0, "The longest wait a client may ask for (s).", positive)
    max_events: int = setting(500, "Events in one answer (count).", positive)

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions within the section."""
        yield from check_order(
            self, "wait_seconds", "max_wait_seconds", "the wait by default is one a client may ask for"
        )
