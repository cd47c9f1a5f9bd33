"""The health of a connection, as a table.

The liveness of a one-way stream is the progress of its queued bytes: a silent peer may be healthy, a
peer that takes none of its queued bytes is not. Behind a proxy this describes the hop to the proxy.
"""

from enum import StrEnum

from .settings import ConnectionSettings


class Health(StrEnum):
    """The state of a connection's writes."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"  # no progress for `unhealthy_seconds`, or a write failed
    STALE = "stale"  # no progress for `stale_seconds`: the sweeper aborts the connection


def health_of(stalled_seconds: float, errors: int, settings: ConnectionSettings) -> Health:
    """Return the health of a connection.

    Args:
        stalled_seconds: time for which queued bytes made no progress (s); 0 when nothing is queued.
        errors: number of writes that failed.
        settings: the timeouts.
    """
    if stalled_seconds >= settings.stale_seconds:
        return Health.STALE
    if errors or stalled_seconds >= settings.unhealthy_seconds:
        return Health.UNHEALTHY
    return Health.HEALTHY
