"""The long-lived parts of one streamd, and the nursery they live in.

They outlive every connection: whoever composes an application runs :meth:`Services.run` in a nursery
outside the server's, never in the web framework's own.
"""

from typing import NoReturn

import attrs
import trio

from .config import Settings
from .connections import Registry, keep
from .database import MEMORY, Database
from .errors import ConfigError
from .hub import Hub
from .log.port import Log
from .metrics import Metrics
from .tasks import Runner, Tasks
from .tasks.memory import MemoryTaskStore
from .tasks.metrics import TaskMetrics
from .tasks.sqlite import SQLiteTaskStore


@attrs.frozen(eq=False)
class Services:
    """Everything a transport or a view needs. Make one with :meth:`create`."""

    settings: Settings
    metrics: Metrics
    log: Log
    hub: Hub
    registry: Registry
    database: Database
    tasks: Tasks
    runner: Runner

    @classmethod
    def create(cls, settings: Settings, log: Log) -> "Services":
        """All parts, as the settings want them.

        Raises:
            ConfigError: there is no such store.
        """
        metrics = Metrics(max_type_labels=settings.metrics.max_type_labels)
        hub = Hub(log, settings.hub, settings.events, metrics)
        path = store_path(settings)
        database = Database(path, synchronous=settings.store.synchronous)
        tasks = Tasks(
            MemoryTaskStore() if path == MEMORY else SQLiteTaskStore(database),
            hub,
            settings.tasks,
            settings.events,
            TaskMetrics(metrics.registry),
        )
        registry = Registry(settings.connections, metrics)
        return cls(settings, metrics, log, hub, registry, database, tasks, Runner(tasks))

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Run all of it until cancelled; nothing that was published or stored is lost by it.

        Raises:
            ConfigError: the store cannot be used.
        """
        async with trio.open_nursery() as outer:  # the store's: what others still want to write, it takes
            await outer.start(self.database.run)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.log.run)
                nursery.start_soon(self.hub.run)
                nursery.start_soon(keep, self.registry, self.settings.connections, self.metrics)
                await nursery.start(self.runner.run)
                task_status.started()
        raise AssertionError("services run until they are cancelled")


def store_path(settings: Settings) -> str:
    """The file that ``store.url`` names, or ``:memory:``.

    Raises:
        ConfigError: there is no such store.
    """
    scheme, _, path = settings.store.url.partition(":")
    if scheme in ("", "memory") and not path:
        return MEMORY
    if scheme == "sqlite" and path and path != MEMORY:
        return path
    raise ConfigError(
        f"store.url is {settings.store.url!r}; this build knows sqlite:PATH and memory:", field="store.url"
    )
