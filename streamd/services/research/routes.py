"""``/research``: begin a session, follow it, fetch its result, cancel it."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from quart import Blueprint
from quart_schema import document_request, document_response
from quart_trio.wrappers import TrioResponse

from ... import Streamd
from ...connections import Group
from ...http import (
    CancelRoute,
    EventsRoute,
    ResultRoute,
    StatusRoute,
    document_problems,
    json_response,
    read_json,
    task_routes,
)
from ...tasks import StepPlan, Task
from .models import Session, StartedSession, present_session, started_session
from .query import StartResearch, check_request
from .settings import ResearchSettings
from .sources import Area

KIND: Final = "research"


class AreaView(msgspec.Struct):
    """What can be asked for."""

    areaId: str  # noqa: N815 - as it is on the wire
    title: str
    datasets: list[str]


class AreasView(msgspec.Struct):
    """All that can be asked for."""

    areas: list[AreaView]


class ResearchResult(msgspec.Struct, rename="camel"):
    """Findings by dataset, and what follows from them for the caller."""

    research_session_id: str
    area_id: str
    title: str
    company_id: str
    user_role: str
    user_company: str
    time: str
    findings: list[dict[str, Any]]
    missing: list[dict[str, Any]]
    insights: list[dict[str, Any]]
    recommendations: list[dict[str, Any]]


def make_blueprint(streamd: Streamd, settings: ResearchSettings, areas: Mapping[str, Area]) -> Blueprint:
    """Build the routes of the service."""
    blueprint = Blueprint("streamd_research", __name__)

    @blueprint.get("/research/areas")
    @document_response(AreasView, 200)
    async def list_areas() -> TrioResponse:
        """List the areas, and the datasets of each."""
        known = [
            AreaView(area.id, area.title, [dataset.name for dataset in area.datasets])
            for area in areas.values()
        ]
        return json_response(AreasView(known))

    @blueprint.post("/research/stream")
    @document_request(StartResearch)
    @document_response(StartedSession, 202)
    @document_problems(400, 413, 415, 503)
    async def start() -> TrioResponse:
        """Start a session: collect an area's datasets about a company."""
        body = await read_json(StartResearch, max_bytes=settings.max_body_bytes)
        asked = check_request(body, areas, settings.max_field_chars)
        task = await streamd.tasks.create(
            KIND,
            input=msgspec.to_builtins(asked),
            steps=[StepPlan(dataset.name) for dataset in areas[asked.areaId].datasets],
            message="waiting to begin",
        )
        started = started_session(task)
        return json_response(started, 202, {"Location": started.status_url})

    async def answer(task: Task) -> Session:
        return present_session(task, await streamd.tasks.input(task.id))

    task_routes(
        blueprint,
        KIND,
        "/research/stream/<session_id>",
        noun="session",
        status=StatusRoute("/status", model=Session, answer=answer, headers=False),
        events=EventsRoute(
            group=Group(KIND, max_lifetime_seconds=settings.max_lifetime_seconds),
            heartbeat_seconds=settings.heartbeat_seconds,
            headers=False,
        ),
        result=ResultRoute(model=ResearchResult),
        cancel=CancelRoute(model=Session, answer=answer, headers=False, message="the session was cancelled"),
    )
    return blueprint
