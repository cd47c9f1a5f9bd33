"""The parts that every stream needs; transports depend on these and on nothing above them."""

import attrs

from .config import Settings
from .connections import Registry
from .hub import Hub
from .log.port import Log
from .metrics import Metrics


@attrs.frozen(eq=False)
class Broker:
    """Settings, log, hub, connections and metrics of one streamd. Make one with :meth:`create`."""

    settings: Settings
    log: Log
    hub: Hub
    connections: Registry
    metrics: Metrics

    @classmethod
    def create(cls, settings: Settings, log: Log) -> "Broker":
        """Build the hub and the connection registry over ``log``, from the sections of ``settings``."""
        metrics = Metrics(max_type_labels=settings.metrics.max_type_labels)
        hub = Hub(log, settings.hub, settings.events, metrics)
        return cls(settings, log, hub, Registry(settings.connections, metrics), metrics)
