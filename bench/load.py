"""The load of one run."""

import attrs

# Minimum speed of the slowest peer, below which a run fails.
_MIN_CONNECTS_PER_SECOND = 200.0
_MIN_DELIVERIES_PER_SECOND = 2_000.0
_MAX_DELIVERING_SECONDS = 300.0
_SPARE_SECONDS = 30.0


@attrs.frozen(kw_only=True)
class Load:
    """The size of one run."""

    clients: int = 0  # connections that subscribe
    streams: int = 1  # HTTP/2 streams on each of them
    events: int = 0
    rate: float = 0.0  # events a second; 0: each one once the previous is acknowledged
    payload_bytes: int = 100  # filler behind an event's number and time
    protocol: str = "h1"  # h1, h2 or ws
    tls: bool = False
    ndjson: bool = False  # all events in one POST
    stalled: int = 0  # number of clients that never read
    history: int = 0  # events of another topic that are published before
    joining: int = 0  # clients of a second load that connect all at once
    settle_seconds: float = 1.0  # pause between the last connect and the measurement

    @property
    def subscribers(self) -> int:
        """The number of streams that read."""
        return (self.clients - self.stalled) * self.streams

    @property
    def connections(self) -> int:
        """The number of streams that a server must accept; those of a storm's second load count twice."""
        return self.clients * self.streams + 2 * self.joining + 100

    @property
    def deadline_seconds(self) -> float:
        """The time after which a run has failed (s)."""
        paced = self.events / self.rate if self.rate else 0.0
        connecting = self.connections / _MIN_CONNECTS_PER_SECOND
        deliveries = self.subscribers * self.events
        delivering = min(_MAX_DELIVERING_SECONDS, deliveries / _MIN_DELIVERIES_PER_SECOND)
        return _SPARE_SECONDS + self.settle_seconds + connecting + paced + delivering
