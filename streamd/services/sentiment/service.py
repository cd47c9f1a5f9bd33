"""Assembly of the sentiment service: the dashboard, its routes and its group of connections."""

from typing import Any

from ... import Service, Streamd
from ...computing.computer import Computer
from ...connections import Group
from .dashboard import Dashboard, wall_clock_ms
from .routes import make_blueprint
from .settings import SentimentSettings
from .store import ItemStore
from .store.sqlite import SQLiteItemStore


def make(streamd: Streamd, settings: SentimentSettings) -> Service:
    """Build the service."""
    connections = streamd.settings.connections
    lifetime = settings.stream.max_lifetime_seconds
    if lifetime > connections.sweep_seconds:
        # The sweeper looks at lifetimes once per interval, and the platform's limit must not be exceeded.
        lifetime -= connections.sweep_seconds
    group = Group(
        "the sentiment dashboard",
        max_connections=settings.stream.max_connections,
        max_lifetime_seconds=lifetime,
        lifetime_jitter=connections.lifetime_jitter,
        retry_after_seconds=connections.retry_after_seconds,
        heartbeat_fields=lambda group: {"connections": group.active},
    )
    streamd.connections.add_group(group)
    dashboard = Dashboard(
        make_store(streamd, settings),
        streamd.hub,
        settings,
        streamd.settings.events,
        computer=Computer("items", streamd.processes),
    )

    def apply_settings(changed: Any) -> None:
        group.max_connections = changed.sentiment.stream.max_connections
        dashboard.settings = changed.sentiment

    return Service(
        make_blueprint(dashboard, group, settings, lambda: streamd.head),
        run=dashboard.run,
        apply_settings=apply_settings,
        reserved=("sentiment/",),
    )


def make_store(streamd: Streamd, settings: SentimentSettings) -> ItemStore:
    """Build the store of items: in Redis if nodes share it, else in the database."""
    if streamd.redis is None:
        return SQLiteItemStore(streamd.database, settings, wall_clock_ms)
    from .store.redis import RedisItemStore  # not without Redis: its client takes 0.2 s to import

    return RedisItemStore(streamd.redis, settings)
