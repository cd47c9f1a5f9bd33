"""A server and an HTTP client that creates tasks and reports on them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx

from streamd.settings import Settings
from streamd.tasks.settings import TaskSettings
from streamd.testing import run_server
from tests.support.api import SECONDS, Api


@attrs.frozen
class TasksApi(Api):
    """A server and a client that works on tasks."""

    async def post(self, path: str, **body: Any) -> httpx.Response:
        return await self.http.post(path, json=body)

    async def create(self, **body: Any) -> dict[str, Any]:
        """Create a task, and return its document."""
        answer = await self.post("/tasks", **{"kind": "import", **body})
        assert answer.status_code == 201, answer.text
        fields: dict[str, Any] = answer.json()
        return fields

    async def report(self, task: dict[str, Any], **report: Any) -> dict[str, Any]:
        """Send a report of a task's worker, and return the task's document."""
        answer = await self.http.patch(f"/tasks/{task['id']}", json={"lease": task["lease"], **report})
        assert answer.status_code == 200, answer.text
        fields: dict[str, Any] = answer.json()
        return fields


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[TasksApi]:
    """Run a server while the block lasts; ``settings`` are of the section ``tasks``."""
    async with run_server(Settings(tasks=TaskSettings(**settings))) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=SECONDS) as http:
            yield TasksApi(server, http)
