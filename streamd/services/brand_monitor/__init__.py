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

from ...connections import Group
from ...runtime import Runtime
from ...tasks import Kind
from .. import Service
from .analysis import KIND, Analyst
from .routes import make_blueprint
from .waiting import WaitingRoom
from .wire import present


def make(runtime: Runtime) -> Service:
    """The service, for a server with these parts."""
    settings = runtime.broker.settings.brand_monitor
    waiting = WaitingRoom(runtime.database)
    group = Group(
        "the brand monitor",
        max_lifetime_seconds=settings.max_lifetime_seconds,
        lifetime_jitter=runtime.broker.settings.connections.lifetime_jitter,
        retry_after_seconds=runtime.broker.settings.connections.retry_after_seconds,
    )
    runtime.tasks.register(
        Kind(
            name=KIND,
            work=Analyst(waiting, settings).work,
            timeout_seconds=settings.timeout_seconds,
            present=present,
            private=True,
        )
    )

    async def run() -> None:
        await waiting.run(runtime.tasks)

    return Service(make_blueprint(runtime, waiting, group), run)
