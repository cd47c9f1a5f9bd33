"""The research service under test: controlled sources, an areas file, and a client of a session."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import trio

from streamd.services.research import Reader, ResearchQuery, SourceFailed, register_source
from streamd.services.research.settings import ResearchSettings
from streamd.settings import Settings
from streamd.tasks.settings import TaskSettings
from streamd.testing import RunningServer, run_server
from tests.support.messages import StreamMessage, read_to_end

REQUEST = {
    "areaId": "decision_makers",
    "companyId": "corvane-cloud",
    "userRole": "Head of Sales",
    "userCompany": "Eastholt Freight",
}

TRAVERSALS = [
    "..",
    "../secret",
    "../../etc/passwd",
    "a/../../secret",
    "/etc/passwd",
    "x/../../../secret",
    ".",
    "..\\secret",
    "%2e%2e/secret",
    "acme\0",
    "acme/../..",
    "~root",
    "acme\n",
    "",
]
"""Invalid ids of companies, most of which would lead out of a folder."""

GATES: dict[str, trio.Event] = {}
"""The events that the source ``rig_gate`` waits for, by company."""

BEGUN: dict[str, trio.Event] = {}
"""Set when that source was called, by company."""


@register_source("rig_gate")
async def gate(query: ResearchQuery, reader: Reader) -> dict[str, bool]:
    """Wait until the test opens the gate."""
    await reader.report("at the gate", 40)
    BEGUN[query.company_id].set()
    await GATES[query.company_id].wait()
    return {"through": True}


@register_source("rig_known")
async def known(query: ResearchQuery, _reader: Reader) -> dict[str, str]:
    """Return the company's id."""
    return {"id": query.company_id, "for": query.user_company}


@register_source("rig_closed")
async def closed(_query: ResearchQuery, _reader: Reader) -> None:
    """Fail always."""
    raise SourceFailed("the register is closed today")


@register_source("rig_bug")
async def bug(_query: ResearchQuery, _reader: Reader) -> None:
    """Raise an unexpected error."""
    raise ValueError("secret internals")


@register_source("rig_large")
async def large(_query: ResearchQuery, _reader: Reader) -> str:
    """Return 60 kB of data."""
    return "x" * 60_000


AREAS = """
[datasets.known]
function = "rig_known"
[datasets.gate]
function = "rig_gate"
timeout_seconds = 1000
[datasets.closed]
function = "rig_closed"
[datasets.bug]
function = "rig_bug"
[datasets.large]
function = "rig_large"
[datasets.large_too]
function = "rig_large"

[areas.gated]
datasets = ["known", "gate"]
[areas.partly]
datasets = ["closed", "known", "bug"]
[areas.none]
datasets = ["closed", "bug"]
[areas.closed_only]
datasets = ["closed"]
[areas.large]
datasets = ["large", "large_too"]
"""


def rig_settings(
    folder: Path, *, tasks: dict[str, Any] | None = None, more: str = "", **research: Any
) -> Settings:
    """Build the settings of a server with these areas, which expires nothing by itself."""
    (folder / "areas.toml").write_text(AREAS + more)
    return attrs.evolve(
        Settings(),
        research=ResearchSettings(areas_file=str(folder / "areas.toml"), **research),
        tasks=TaskSettings(**({"sweep_seconds": 3600.0} | (tasks or {}))),
    )


async def no_report(message: str, progress: float | None = None) -> None:
    """Ignore the report."""


def query_of(company_id: str, area_id: str = "risk") -> ResearchQuery:
    """Make a query of a caller without role and company."""
    return ResearchQuery(area_id, company_id, "", "")


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[tuple[RunningServer, httpx.AsyncClient]]:
    """Run a server with these settings, and a client of it."""
    async with (
        run_server(settings) as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False) as client,
    ):
        yield server, client


def new_gate(company_id: str) -> trio.Event:
    """Make a closed gate; setting the event opens it."""
    BEGUN[company_id] = trio.Event()
    GATES[company_id] = trio.Event()
    return GATES[company_id]


@attrs.frozen
class SessionClient:
    """A client of one session, with the URLs from the answer to its start."""

    server: RunningServer
    client: httpx.AsyncClient
    id: str
    urls: dict[str, str]

    async def get(self, what: str) -> httpx.Response:
        return await self.client.get(self.urls[f"{what}Url"])

    async def status(self) -> dict[str, Any]:
        answer = await self.get("status")
        assert answer.status_code == 200, answer.text
        fields: dict[str, Any] = answer.json()
        return fields

    async def follow(self, last_event_id: str | None = None) -> list[StreamMessage]:
        """Read the stream to its end."""
        return await read_to_end(self.server.url, self.urls["eventsUrl"], last_event_id=last_event_id)

    async def result(self) -> dict[str, Any]:
        """Return the result after the end of the session."""
        await self.follow()
        answer = await self.get("result")
        assert answer.status_code == 200, answer.text
        fields: dict[str, Any] = answer.json()
        return fields


async def start(server: RunningServer, client: httpx.AsyncClient, **changes: str) -> SessionClient:
    """Start a session with :data:`REQUEST` and the given changes."""
    answer = await client.post("/research/stream", json=REQUEST | changes)
    assert answer.status_code == 202, answer.text
    urls = answer.json()
    return SessionClient(server, client, urls["researchSessionId"], urls)
