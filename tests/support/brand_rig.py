"""A running server with a brand monitor, which can hold analyses pending."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import trio

from streamd.app import create_app
from streamd.events.sse import ServerSentEvent
from streamd.http.current import EXTENSION
from streamd.runtime import Runtime
from streamd.settings import Settings
from streamd.tasks import Kind, Progress, Status
from streamd.testing import open_stream, run_server
from tests.support.messages import data_of

PREFIX = "/api/brand-monitor"
PROGRESS_KEYS = {"taskId", "status", "progress", "stage", "message", "eta_seconds", "timestamp"}
ERROR_KEYS = {"taskId", "status", "error", "code", "progress", "stage", "message", "timestamp"}

MENTIONS = [
    {"text": "Acme's battery is great, I love it", "source": "blog", "time": "2026-03-01T23:30:00-02:00"},
    {
        "text": "ACME battery died. Awful! Globex battery wins",
        "source": "forum",
        "time": "2026-03-02T08:00:00Z",
    },
    {"text": "Globex has a shop", "source": "forum", "time": "2026-03-03T08:00:00+09:00"},
    {"text": "Pacmet opens a shop", "source": "news", "time": "2026-02-28T12:00:00Z"},
]
REQUEST = {"brand": "Acme", "competitors": ["Globex", "Initech"], "mentions": MENTIONS}


def many(count: int) -> list[dict[str, str]]:
    """Build mentions from many sources and days, with many words."""
    return [
        {
            "text": f"Acme phone {number % 97} is a great item, while Globex service {number % 89} was slow",
            "source": f"source {number % 7}",
            "time": f"2026-03-{1 + number % 28:02d}T12:00:00Z",
        }
        for number in range(count)
    ]


@attrs.frozen
class Rig:
    """A server and a client."""

    client: httpx.AsyncClient
    url: str
    runtime: Runtime
    release: trio.Event  # starts held analyses

    async def start(self, **changes: Any) -> str:
        """Start an analysis and return its id."""
        answer = await self.client.post(f"{PREFIX}/analyses", json=REQUEST | changes)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["taskId"])

    async def follow(self, task_id: str, **options: Any) -> list[ServerSentEvent]:
        """Return all events of an analysis until its stream ends, without control frames."""
        events = []
        async with open_stream(self.url, path=f"{PREFIX}/progress/{task_id}", **options) as stream:
            while (event := await stream.next_event()) is not None:
                events.append(event)
        return events

    async def end_of(self, task_id: str) -> dict[str, Any]:
        """Return the data of the last event of an analysis."""
        return data_of((await self.follow(task_id))[-1])

    async def pending(self) -> int:
        """Count the analyses whose job has not begun."""
        return len(await self.runtime.tasks.list(kind="brand-monitor", status=Status.PENDING))

    async def health(self) -> dict[str, Any]:
        return dict((await self.client.get(f"{PREFIX}/health")).json())

    async def until_active(self, count: int) -> dict[str, Any]:
        """Wait until ``count`` streams are open and return the health."""
        while (health := await self.health())["activeConnections"] != count:
            pass
        return health


@asynccontextmanager
async def rig(
    *, hold: bool = False, settings: Settings | None = None, **sections: Mapping[str, Any]
) -> AsyncIterator[Rig]:
    """Run a server for as long as the block lasts.

    Args:
        hold: keep analyses pending until ``release`` is set, by a task that occupies the only slot.
        settings: the server's settings.
        sections: changes to sections of the settings.
    """
    settings = settings or Settings()
    if hold:
        settings = attrs.evolve(settings, tasks=attrs.evolve(settings.tasks, max_running=1))
    for name, changes in sections.items():
        settings = attrs.evolve(settings, **{name: attrs.evolve(getattr(settings, name), **changes)})
    app = create_app(settings)
    runtime: Runtime = app.extensions[EXTENSION].runtime
    release, held = trio.Event(), trio.Event()

    async def wait(_: Progress) -> None:
        held.set()
        await release.wait()

    runtime.tasks.register(Kind(name="held", work=wait))
    with trio.fail_after(60):
        async with (
            run_server(settings, app=app) as server,
            httpx.AsyncClient(base_url=server.url, timeout=30) as client,
        ):
            if hold:
                await runtime.tasks.create("held")
                await held.wait()
            yield Rig(client, server.url, runtime, release)
