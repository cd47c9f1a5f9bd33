"""Brand monitor: what is said of a brand, and what of its competitors (``/api/brand-monitor``).

============  =====================================================================
``requests``  the request, and all that can be wrong with it
``waiting``   where an analysis waits until it begins
``analysis``  the work: stages, in slices in a thread
``folding``   which letters are the same, and what is a letter
``names``     finds names in texts
``voice``     share of voice
``tone``      sentiment, by source and by day
``terms``     the most frequent words and phrases
``wire``      the messages and the health in this service's shape
``views``     the HTTP API
============  =====================================================================
"""

from ... import Service, Streamd
from ...connections import Group
from ...tasks import Kind
from .analysis import KIND, Analyst
from .routes import make_blueprint
from .settings import BrandMonitorSettings
from .waiting import WaitingRoom
from .wire import present


def make(streamd: Streamd, settings: BrandMonitorSettings) -> Service:
    """Build the service."""
    waiting = WaitingRoom(streamd.database)
    group = Group(
        "the brand monitor",
        max_lifetime_seconds=settings.max_lifetime_seconds,
        lifetime_jitter=streamd.settings.connections.lifetime_jitter,
        retry_after_seconds=streamd.settings.connections.retry_after_seconds,
    )
    kind = Kind(
        name=KIND,
        work=Analyst(waiting, settings).work,
        timeout_seconds=settings.timeout_seconds,
        present=present,
        private=True,
    )

    async def run() -> None:
        await waiting.run(streamd.tasks)

    return Service(make_blueprint(streamd.runtime, waiting, group, settings), [kind], run)
