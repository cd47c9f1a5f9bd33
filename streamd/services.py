"""The long-lived parts of one streamd, and the nursery they live in.

They outlive every connection: whoever composes an application runs :meth:`Services.run` in a nursery
outside the server's, never in the web framework's own.
"""

from typing import NoReturn

import attrs
import trio

from .config import Settings
from .connections import Registry, keep
from .hub import Hub
from .log.port import Log
from .metrics import Metrics


@attrs.frozen(eq=False)
class Services:
    """Everything a transport or a view needs. Make one with :meth:`create`."""

    settings: Settings
    metrics: Metrics
    log: Log
    hub: Hub
    registry: Registry

    @classmethod
    def create(cls, settings: Settings, log: Log) -> "Services":
        metrics = Metrics(max_type_labels=settings.metrics.max_type_labels)
        hub = Hub(log, settings.hub, settings.events, metrics)
        return cls(settings, metrics, log, hub, Registry(settings.connections, metrics))

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Run the log, the fan-out and the keeper until cancelled; nothing published is lost by it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.log.run)
            nursery.start_soon(self.hub.run)
            nursery.start_soon(keep, self.registry, self.settings.connections, self.metrics)
            task_status.started()
        raise AssertionError("services run until they are cancelled")
