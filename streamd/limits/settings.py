"""The section ``[limits]``."""

from typing import Final

import attrs

from ..config import at_most, not_negative, setting, tuning

_RATE_MAX: Final = 1e9
_BURST_MAX: Final = 1_000_000_000


def _rate(of: str, example: str) -> float:
    return setting(
        0.0,
        f"Maximum rate of {of} (per second; 0: unlimited), such as {example}.",
        not_negative,
        at_most(_RATE_MAX),
        reload=True,
    )


def _burst(of: str) -> int:
    return tuning(
        0,
        f"Number of {of} that may come at once (count; 0: those of two seconds).",
        not_negative,
        at_most(_BURST_MAX),
        reload=True,
    )


@attrs.frozen(kw_only=True)
class LimitSettings:
    """Limits of each caller: of a user, or of an address (IPv6: a /64) without one."""

    publish_per_second: float = _rate("publishing requests", "50")
    publish_burst: int = _burst("publishing requests")
    events_per_second: float = _rate("published events", "500")
    events_burst: int = _burst("published events")
    bytes_per_second: float = _rate("published bytes", "1_000_000")
    bytes_burst: int = _burst("published bytes")
    connect_per_second: float = _rate("streams and WebSockets that are opened", "10")
    connect_burst: int = _burst("streams and WebSockets")
    subscribe_per_second: float = _rate("polls, and of subscriptions of an open WebSocket", "10")
    subscribe_burst: int = _burst("polls and subscriptions")
    tasks_per_second: float = _rate("requests to /tasks", "50")
    tasks_burst: int = _burst("requests to /tasks")
    services_per_second: float = _rate("requests to services", "20")
    services_burst: int = _burst("requests to services")
