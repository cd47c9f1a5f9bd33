"""Assembly of the brand monitor: task kind, routes and its group of connections."""

from functools import partial
from typing import Final

from ... import Service, Streamd
from ...computing.computer import Computer
from ...connections import Group
from ...tasks import Kind
from .job import KIND, AnalysisJob
from .messages import EVENT_TYPES, present
from .routes import make_blueprint
from .settings import BrandMonitorSettings

# Analyses that waited for their task were once kept in a table of their own.
_MIGRATIONS: Final = (
    """
    CREATE TABLE brand_monitor_waiting (
        handle TEXT PRIMARY KEY,
        task TEXT NOT NULL,
        at INTEGER NOT NULL,
        packed BLOB NOT NULL
    );
    """,
    "DROP TABLE brand_monitor_waiting;",
)


def make(streamd: Streamd, settings: BrandMonitorSettings) -> Service:
    """Build the service."""
    streamd.database.require("brand_monitor", _MIGRATIONS)
    group = Group(
        "the brand monitor",
        max_lifetime_seconds=settings.stream.max_lifetime_seconds,
        lifetime_jitter=streamd.settings.connections.lifetime_jitter,
    )
    streamd.connections.add_group(group)
    kind = Kind(
        name=KIND,
        work=AnalysisJob(settings, Computer("analyses", streamd.processes)),
        timeout_seconds=settings.timeout_seconds,
        max_input_bytes=settings.max_body_bytes,
        completion_message="The analysis is complete",
        cancellation_message="The analysis was cancelled",
        present=partial(present, root_path=streamd.root_path),
        event_types=EVENT_TYPES,
        private=True,
    )
    arrivals = Computer("arrivals of analyses", streamd.processes)
    return Service(make_blueprint(streamd, settings, group, arrivals), [kind])
