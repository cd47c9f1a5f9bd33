"""Groups of settings that several sections embed."""

from collections.abc import Iterator

import attrs

from .clashes import Clash, check_order
from .fields import at_most, not_negative, positive, setting, tuning


@attrs.frozen(kw_only=True)
class StreamSettings:
    """The event streams of this service."""

    heartbeat_seconds: float = setting(15.0, "Idle time before a heartbeat is sent (s).", positive)
    max_lifetime_seconds: float = tuning(
        0.0,
        "Maximum lifetime of a stream; then `closing` asks the client to reconnect (s; 0: unlimited).",
        not_negative,
    )


@attrs.frozen(kw_only=True)
class LimitedStreamSettings(StreamSettings):
    """The event streams of this service, with a limit of their own."""

    max_connections: int = setting(
        100,
        "Maximum number of open streams on all nodes (count); further ones get 503 with Retry-After.",
        positive,
        reload=True,
    )


@attrs.frozen(kw_only=True)
class RetrySettings:
    """Retries with exponential backoff and jitter."""

    attempts: int = setting(
        3, "Maximum number of attempts, the first one included (count).", positive, at_most(100)
    )
    backoff_seconds: float = setting(
        0.5, "Wait before the second attempt; it doubles before each further one (s).", positive
    )
    max_wait_seconds: float = setting(8.0, "Maximum of that wait (s).", positive)

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions within the group."""
        yield from check_order(
            self, "backoff_seconds", "max_wait_seconds", "the wait grows from one to the other"
        )
