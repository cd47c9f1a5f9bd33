"""Settings of client connections and of long polling."""

from collections.abc import Iterator
from typing import ClassVar, Final

import attrs

from ..config import Clash, at_most, check_order, not_negative, one_of, positive, setting, tuning

ON_LIMIT_ERROR: Final = "error"
ON_LIMIT_RETRY: Final = "retry"


@attrs.frozen(kw_only=True)
class ConnectionSettings:
    """Connections: limits, heartbeats, health and lifetime."""

    removed: ClassVar = {
        "replaced_retry_ms": "a replaced client is always told to stay away for a day",
        "max_client_id_chars": "a client id has at most 128 characters",
        "max_listed": "/connections lists at most 1000",
    }

    max_connections: int = setting(
        10_000,
        "Maximum number of connections of a process (count). Further ones get 503 with Retry-After.",
        positive,
        reload=True,
    )
    max_per_address: int = setting(
        0,
        "Maximum number of connections from one address, to all nodes together (count; 0: unlimited). An "
        "IPv6 address counts as its /64. Loopback, Unix sockets and trusted proxies are not counted.",
        not_negative,
        reload=True,
    )
    max_per_user: int = setting(
        0,
        "Maximum number of connections of one user, to all nodes together (count; 0: unlimited).",
        not_negative,
        reload=True,
    )
    on_limit: str = setting(
        ON_LIMIT_ERROR,
        "Answer to an SSE client that gets no stream for now: error (503 or 429, after which a native "
        "EventSource never comes back) or retry (an event stream that ends at once, and says when to come "
        "back). The parameter on_limit of a request takes precedence.",
        one_of(ON_LIMIT_ERROR, ON_LIMIT_RETRY),
        reload=True,
    )
    control: bool = setting(
        False,
        "Let callers on this machine send messages to connections, broadcast and close them over HTTP. They "
        "need a loopback address. A proxy on this machine must set X-Forwarded-For, or its clients are "
        "admitted, too.",
        reload=True,
    )
    retry_after_seconds: float = tuning(5.0, "Retry-After of a rejected connection (s).", positive)
    max_topics: int = tuning(
        100, "Maximum number of topics and patterns of one subscription (count).", positive
    )
    max_pattern_bytes: int = tuning(1024, "Maximum length of a pattern (bytes of UTF-8).", positive)
    heartbeat_seconds: float = setting(
        15.0,
        "Idle time before a heartbeat is sent (s). Keep it below the idle timeout of every proxy on the way.",
        positive,
    )
    min_heartbeat_seconds: float = tuning(
        1.0, "Minimum heartbeat interval that a client may request (s).", positive
    )
    max_heartbeat_seconds: float = tuning(
        300.0, "Maximum heartbeat interval that a client may request (s).", positive
    )
    unhealthy_seconds: float = tuning(
        30.0,
        "Time without progress of queued bytes after which a connection is unhealthy (s).",
        positive,
    )
    stale_seconds: float = setting(
        120.0, "Time without progress of queued bytes after which a connection is closed (s).", positive
    )
    sweep_seconds: float = tuning(
        1.0, "Interval of the checks for heartbeats, health and lifetime (s).", positive
    )
    max_lifetime_seconds: float = setting(
        0.0,
        "Maximum lifetime of a connection; then `closing` asks the client to reconnect (s; 0: unlimited).",
        not_negative,
    )
    lifetime_jitter: float = tuning(
        0.1,
        "Random part of the lifetime, which spreads the reconnects (0 to 1).",
        not_negative,
        at_most(1),
    )
    token_notice_seconds: float = tuning(
        60.0, "Time before a token expires at which its streams are told `token-expiring` (s).", not_negative
    )
    retry_ms: int = tuning(
        2000, "Reconnection time sent at the start of an SSE stream (ms, WHATWG `retry`).", not_negative
    )
    max_message_bytes: int = tuning(
        65_536, "Maximum size of a message from a WebSocket client (bytes).", positive
    )

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
    """Long polling, for networks that break streams."""

    wait_seconds: float = tuning(25.0, "Timeout of a poll that does not set its own (s).", not_negative)
    max_wait_seconds: float = setting(
        55.0,
        "Maximum timeout that a poll, or a claim of a task, may set (s). Keep it below the idle timeout of "
        "every proxy on the way.",
        positive,
        reload=True,
    )
    max_events: int = tuning(500, "Maximum number of events in the answer to a poll (count).", positive)

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions within the section."""
        yield from check_order(
            self, "wait_seconds", "max_wait_seconds", "the default must be one that a client may set"
        )
