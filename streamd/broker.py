"""The parts that every stream needs; transports depend on these and on nothing above them."""

from collections.abc import Iterator

import attrs

from .config import Clash, check_order
from .connections import ConnectionSettings, PollSettings, Registry
from .events import EventSettings, PublishSettings
from .hub import Hub, HubSettings
from .limits import Limits, LimitSettings
from .log.port import Log
from .log.settings import LogSettings
from .metrics import Metrics, MetricsSettings


@attrs.frozen(kw_only=True)
class BrokerSettings:
    """The sections that every stream needs."""

    log: LogSettings = attrs.field(factory=LogSettings)
    events: EventSettings = attrs.field(factory=EventSettings)
    publish: PublishSettings = attrs.field(factory=PublishSettings)
    hub: HubSettings = attrs.field(factory=HubSettings)
    connections: ConnectionSettings = attrs.field(factory=ConnectionSettings)
    poll: PollSettings = attrs.field(factory=PollSettings)
    limits: LimitSettings = attrs.field(factory=LimitSettings)
    metrics: MetricsSettings = attrs.field(factory=MetricsSettings)

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions between sections."""
        yield from check_order(
            self, "events.max_event_bytes", "log.max_bytes", "the log must hold the largest event"
        )
        yield from check_order(
            self, "events.max_event_bytes", "log.topic_max_bytes", "a topic must hold the largest event"
        )
        yield from check_order(
            self,
            "hub.max_lag_events",
            "log.max_events",
            "the log must keep every event that the fan-out has not taken yet",
        )


@attrs.define(eq=False)
class Broker:
    """Settings, log, hub, connections, limits and metrics of one streamd. Make one with :meth:`create`.

    Only the settings change, by :meth:`apply_settings`.
    """

    settings: BrokerSettings
    log: Log
    hub: Hub
    connections: Registry
    metrics: Metrics
    limits: Limits

    @classmethod
    def create(cls, settings: BrokerSettings, log: Log) -> "Broker":
        """Build the hub and the connection registry over ``log``, from the sections of ``settings``."""
        metrics = Metrics(max_type_labels=settings.metrics.max_type_labels)
        hub = Hub(log, settings.hub, settings.events, metrics)
        limits = Limits(settings.limits, metrics.registry)
        return cls(settings, log, hub, Registry(settings.connections, metrics), metrics, limits)

    def apply_settings(self, settings: BrokerSettings) -> None:
        """Apply settings that change while the broker runs; see :func:`streamd.config.plan_reload`."""
        self.settings = settings
        self.log.apply_settings(settings.log)
        self.connections.apply_settings(settings.connections)
        self.limits.apply_settings(settings.limits)
