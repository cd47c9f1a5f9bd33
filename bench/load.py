"""What is asked of a server in one run."""

import attrs

# What the slowest peer may take before a run is given up: it connects and delivers at least so many a second.
_LEAST_CONNECTS_PER_SECOND = 200.0
_LEAST_DELIVERIES_PER_SECOND = 2_000.0
_MOST_DELIVERING_SECONDS = 300.0
_SPARE_SECONDS = 30.0


@attrs.frozen(kw_only=True)
class Load:
    """The size of one run."""

    clients: int = 0  # connections that subscribe
    streams: int = 1  # HTTP/2 streams on each of them
    events: int = 0
    rate: float = 0.0  # events a second; 0: the next when the last is acknowledged
    payload_bytes: int = 100  # filler behind an event's number and time
    protocol: str = "h1"  # h1, h2 or ws
    tls: bool = False
    ndjson: bool = False  # all events in one POST
    stalled: int = 0  # of the clients, how many never read
    joining: int = 0  # clients of a second load that connect all at once
    settle_seconds: float = 1.0  # quiet time between the last client's connecting and the measuring

    @property
    def subscribers(self) -> int:
        """Streams that read."""
        return (self.clients - self.stalled) * self.streams

    @property
    def connections(self) -> int:
        """Streams a server must be ready to hold, those of a storm's second load twice."""
        return self.clients * self.streams + 2 * self.joining + 100

    @property
    def deadline_seconds(self) -> float:
        """When a run that is not done has failed."""
        paced = self.events / self.rate if self.rate else 0.0
        connecting = self.connections / _LEAST_CONNECTS_PER_SECOND
        deliveries = self.subscribers * self.events
        delivering = min(_MOST_DELIVERING_SECONDS, deliveries / _LEAST_DELIVERIES_PER_SECOND)
        return _SPARE_SECONDS + self.settle_seconds + connecting + paced + delivering
