"""A running server with a brand monitor, and analyses that wait until a test lets them go."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import msgspec
import trio

from streamd.app import create_app
from streamd.events.sse import ServerSentEvent
from streamd.http.current import EXTENSION
from streamd.runtime import Runtime
from streamd.settings import Settings
from streamd.tasks import Kind, Progress
from streamd.testing import open_stream, run_server

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
    """Mentions of many sources, days and words."""
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
    """A server, and a client of it."""

    client: httpx.AsyncClient
    url: str
    runtime: Runtime
    release: trio.Event  # lets analyses begin that were held

    async def start(self, **changes: Any) -> str:
        """Ask for an analysis, and return its id."""
        answer = await self.client.post(f"{PREFIX}/analyses", json=REQUEST | changes)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["taskId"])

    async def follow(self, task_id: str, **options: Any) -> list[ServerSentEvent]:
        """All events of an analysis until the stream ends, control frames left out."""
        events = []
        async with open_stream(self.url, path=f"{PREFIX}/progress/{task_id}", **options) as stream:
            while (event := await stream.next_event()) is not None:
                events.append(event)
        return events

    async def end_of(self, task_id: str) -> dict[str, Any]:
        """The data of the last event of an analysis."""
        return data_of((await self.follow(task_id))[-1])

    async def waiting(self) -> int:
        """How many analyses are kept until they begin."""
        query = "SELECT count(*) FROM brand_monitor_waiting"
        [[count]] = await self.runtime.database.read(lambda db: db.execute(query).fetchall())
        assert isinstance(count, int)
        return count

    async def health(self) -> dict[str, Any]:
        return dict((await self.client.get(f"{PREFIX}/health")).json())

    async def until_active(self, count: int) -> dict[str, Any]:
        """The health, once so many streams are open."""
        while (health := await self.health())["activeConnections"] != count:
            pass
        return health


def data_of(event: ServerSentEvent) -> dict[str, Any]:
    return msgspec.json.decode(event.data, type=dict[str, Any])


@asynccontextmanager
async def rig(
    *, hold: bool = False, settings: Settings | None = None, **sections: Mapping[str, Any]
) -> AsyncIterator[Rig]:
    """A server for as long as the block lasts.

    Args:
        hold: analyses stay pending until ``release`` is set: something else has the one place to run.
        settings: of the server.
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
