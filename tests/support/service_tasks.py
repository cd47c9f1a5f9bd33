"""The tasks of all services, brought into any state over their routes and by a worker of the test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import httpx
import trio

from streamd.app import create_app
from streamd.database import StoreSettings
from streamd.http.current import EXTENSION
from streamd.settings import Settings
from streamd.tasks import Kind, Progress, Task, Tasks, operations
from streamd.tasks.settings import TaskSettings
from streamd.testing import run_server
from tests.support import brand_rig, research_rig, strategy_rig
from tests.support.messages import StreamMessage, read_to_end

WORKER: Final = "local:test"
REASON: Final = "we have it already"
FAILURE: Final = "the source is closed"


@attrs.frozen
class ServiceRoutes:
    """The routes of one service for its tasks.

    Args:
        kind: the kind of its tasks.
        create: the path that creates one.
        body: the request for that.
        id_name: the name of the id in answers.
        events, result, cancel, status: the paths, with ``{id}``; None where there is no such route.
        complete: the last message of a completed task.
        cancelled: the last message of a task that is cancelled without a reason.
    """

    kind: str
    create: str
    body: dict[str, Any]
    id_name: str
    events: str
    result: str
    cancel: str
    status: str | None
    complete: str
    cancelled: str

    def paths(self) -> list[tuple[str, str]]:
        """Return method and path of each route for one task."""
        given = [("GET", self.events), ("GET", self.result), ("POST", self.cancel)]
        if self.status is not None:
            given += [("GET", self.status), ("HEAD", self.status)]
        return given


SERVICES: Final = {
    "research": ServiceRoutes(
        "research",
        "/research/stream",
        research_rig.REQUEST,
        "researchSessionId",
        "/research/stream/{id}/events",
        "/research/stream/{id}/result",
        "/research/stream/{id}/cancel",
        "/research/stream/{id}/status",
        "The research is complete",
        "The session was cancelled",
    ),
    "strategy": ServiceRoutes(
        "strategy",
        "/api/strategy",
        strategy_rig.PROFILE,
        "strategyId",
        "/api/strategy/{id}/events",
        "/api/strategy/{id}/result",
        "/api/strategy/{id}/cancel",
        "/api/strategy/{id}/status",
        "The strategy is complete",
        "The strategy was cancelled",
    ),
    "brand_monitor": ServiceRoutes(
        "brand-monitor",
        "/api/brand-monitor/analyses",
        brand_rig.REQUEST,
        "taskId",
        "/api/brand-monitor/progress/{id}",
        "/api/brand-monitor/analyses/{id}",
        "/api/brand-monitor/analyses/{id}/cancel",
        None,
        "The analysis is complete",
        "The analysis was cancelled",
    ),
    "tasks": ServiceRoutes(
        "import",
        "/tasks",
        {"kind": "import", "steps": [{"name": "read"}, {"name": "save"}]},
        "id",
        "/tasks/{id}/events",
        "/tasks/{id}/result",
        "/tasks/{id}/cancel",
        "/tasks/{id}",
        "The task is complete",
        "The task was cancelled",
    ),
}
ORDERS: Final = ServiceRoutes(
    "purchase-order",
    "/api/purchase-orders?merchantId=shop",
    {"lines": [{"sku": "MUG-1", "quantity": 1, "unitPrice": "4.50"}]},
    "workflowId",
    "/tasks/{id}/events",
    "/tasks/{id}/result",
    "/tasks/{id}/cancel",
    "/api/purchase-orders/po-{id}?merchantId=shop",
    "The order is complete",
    "The order was cancelled",
)
"""Purchase orders, whose status has a shape of its own."""


@attrs.frozen
class ServiceTasks:
    """The tasks of one service on a server whose runner is busy, so that the test works on them."""

    routes: ServiceRoutes
    http: httpx.AsyncClient
    url: str
    tasks: Tasks

    async def pending(self) -> str:
        """Create a task, and return its id."""
        answer = await self.http.post(self.routes.create, json=self.routes.body)
        assert answer.status_code in (201, 202), answer.text
        return str(answer.json()[self.routes.id_name])

    async def running(self) -> str:
        """Create a task whose work has begun its first step."""
        task_id = await self.pending()
        lease = self.tasks.new_lease(WORKER, lease_seconds=600)
        task = await self.tasks.perform(
            task_id, lambda task: [operations.start(task, self.tasks.now(), **lease)]
        )
        progress = self.handle(task)
        async with progress.step(task.steps[0].name) as step:
            await step.update(50, "half of it")
        await progress.update(message="on it")
        return task_id

    def handle(self, task: Task) -> Progress:
        """Return the handle of a running task."""
        return Progress(task, partial(self.tasks.perform, task.id), self.tasks.now)

    async def completed(self) -> str:
        """Create a task that is completed with the result ``{"n": 1}``."""
        task_id = await self.running()
        await self.tasks.complete(task_id, {"n": 1})
        return task_id

    async def failed(self) -> str:
        """Create a task that failed with :data:`FAILURE`."""
        task_id = await self.running()
        await self.tasks.fail(task_id, FAILURE, code="closed")
        return task_id

    async def cancelled(self) -> str:
        """Create a task that is cancelled with :data:`REASON` over the service's route."""
        task_id = await self.running()
        answer = await self.call("POST", self.routes.cancel, task_id, json={"message": REASON})
        assert answer.status_code == 200, answer.text
        return task_id

    async def call(self, method: str, path: str, task_id: str, **request: Any) -> httpx.Response:
        return await self.http.request(method, path.format(id=task_id), **request)

    async def last_message(self, task_id: str) -> StreamMessage:
        """Return the last message of an ended task, as a late follower receives it."""
        return (await read_to_end(self.url, self.routes.events.format(id=task_id)))[-1]


MakeTask = Callable[[ServiceTasks], Awaitable[str]]

STATES: Final[dict[str, MakeTask]] = {
    "pending": ServiceTasks.pending,
    "running": ServiceTasks.running,
    "completed": ServiceTasks.completed,
    "failed": ServiceTasks.failed,
    "cancelled": ServiceTasks.cancelled,
}


@asynccontextmanager
async def service_tasks(routes: ServiceRoutes, store: str, folder: Path) -> AsyncIterator[ServiceTasks]:
    """Run a server while the block lasts.

    Args:
        routes: the service.
        store: ``memory`` or ``sqlite``.
        folder: for the file of the latter.
    """
    url = "memory:" if store == "memory" else f"sqlite:{folder / 'streamd.db'}"
    settings = Settings(store=StoreSettings(url=url), tasks=TaskSettings(max_running=1))
    app = create_app(settings)
    tasks: Tasks = app.extensions[EXTENSION].tasks
    held = trio.Event()

    async def occupy(_: Progress) -> None:
        held.set()
        await trio.sleep_forever()

    tasks.register(Kind(name="held", work=occupy))
    with trio.fail_after(60):
        async with (
            run_server(settings, app=app) as server,
            httpx.AsyncClient(base_url=server.url, timeout=30) as http,
        ):
            await tasks.create("held")
            await held.wait()
            yield ServiceTasks(routes, http, server.url, tasks)
