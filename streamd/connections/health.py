"""The one table of a connection's health.

Liveness of a one-way stream is the progress of queued bytes: a peer from which nothing is heard may
be well, one that takes nothing of what waits for it is not. Behind a proxy this describes the hop to
the proxy.
"""

from enum import StrEnum

from ..config import ConnectionSettings


class Health(StrEnum):
    """How a connection does."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"  # no progress for a while, or a write failed
    STALE = "stale"  # no progress for so long that the connection is closed


def health_of(stalled_seconds: float, errors: int, settings: ConnectionSettings) -> Health:
    """The health of a connection.

    Args:
        stalled_seconds: since when queued bytes made no progress; 0 when nothing is queued.
        errors: writes that failed.
    """
    if stalled_seconds >= settings.stale_seconds:
        return Health.STALE
    if errors or stalled_seconds >= settings.unhealthy_seconds:
        return Health.UNHEALTHY
    return Health.HEALTHY
