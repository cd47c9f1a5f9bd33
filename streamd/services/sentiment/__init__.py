"""The sentiment dashboard, ``/api/v2``: what is said about shares, counted over the last day.

==============  ===============================================================================
``items``       what a request says, checked as a whole; the rules for each field
``scoring``     a score for a text, a sentiment for a score
``totals``      the sliding windows, in memory
``store``       the items on disk
``feed``        when ``metrics`` and ``new_item`` are published
``dashboard``   :class:`Dashboard`: the way of an item through all of these
``views``       the routes
==============  ===============================================================================

The way of an item: ``POST /items`` - checked and scored - stored - counted - published as ``new_item``.

What holds:

- The totals cover ``now - window < timestamp``. An item that comes late counts for what is left of its time;
  one that comes after its time is stored and published, and never counts. One that is ahead of this clock
  counts at once, and is refused beyond ``max_ahead_seconds``. Timestamps are kept to the millisecond.
- ``rate_last_hour`` and ``rate_last_24h`` are items an hour: of the last hour, and of the window.
- An ``item_id`` is known for the window's length after it was received, also across a restart; in that time
  the same id changes nothing, whatever else the item says. ``accepted`` counts the ids that were not known.
- Streams have the policy ``latest``, which keeps the newest ``metrics`` for a slow client. Each ``new_item``
  has a first topic of its own, so that no two of them are merged: a slow client gets all that the log keeps.
- A stream begins with the totals as they are. They carry no id, so a client that resumes still gets what it
  missed; the newest ``metrics`` that it missed are among that.
"""

from ... import Service, Streamd
from ...config.services import SentimentSettings
from ...connections import Group
from .dashboard import Dashboard
from .routes import make_blueprint


def make(streamd: Streamd, settings: SentimentSettings) -> Service:
    """Build the service."""
    connections = streamd.settings.connections
    lifetime = settings.max_lifetime_seconds
    if lifetime > connections.sweep_seconds:
        lifetime -= connections.sweep_seconds  # lifetimes are looked at so often, and this one is a limit
    group = Group(
        "the sentiment dashboard",
        max_connections=settings.max_connections,
        max_lifetime_seconds=lifetime,
        lifetime_jitter=connections.lifetime_jitter,
        retry_after_seconds=connections.retry_after_seconds,
        heartbeat_fields=lambda group: {"connections": len(group)},
    )
    dashboard = Dashboard(streamd.database, streamd.hub, settings, streamd.settings.events)
    return Service(make_blueprint(streamd.runtime, dashboard, group), run=dashboard.run)
