"""``/research``: begin a session, follow it, fetch its result, cancel it."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from quart import Blueprint, request
from quart_schema import document_headers, document_request, document_response
from quart_trio.wrappers import TrioResponse

from ...connections import Group
from ...http.problems import document_problems
from ...http.requests import read_json
from ...http.routes.tasks import task_stream
from ...http.schema import EventStreamText, ResumeHeaders
from ...runtime import Runtime
from ...tasks import StepPlan
from .requests import StartResearch, check_request
from .session import Session, StartedSession, present_session, started_session
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


def make_blueprint(runtime: Runtime, areas: Mapping[str, Area]) -> Blueprint:
    """The views, for a server with these parts."""
    settings = runtime.broker.settings.research
    tasks = runtime.tasks
    blueprint = Blueprint("streamd_research", __name__)
    group = Group(KIND, max_lifetime_seconds=settings.max_lifetime_seconds)

    @blueprint.get("/research/areas")
    @document_response(AreasView, 200)
    async def list_areas() -> TrioResponse:
        """What can be asked for: areas, and the datasets of each."""
        known = [
            AreaView(area.id, area.title, [dataset.name for dataset in area.datasets])
            for area in areas.values()
        ]
        return _json(AreasView(known))

    @blueprint.post("/research/stream")
    @document_request(StartResearch)
    @document_response(StartedSession, 202)
    @document_problems(400, 413, 415, 503)
    async def start() -> TrioResponse:
        """Begin to find out what an area asks about a company."""
        body = await read_json(
            request, StartResearch, runtime.broker.settings.events, settings.max_body_bytes
        )
        asked = check_request(body, areas, settings.max_field_chars)
        task = await tasks.create(
            KIND,
            input=msgspec.to_builtins(asked),
            steps=[StepPlan(dataset.name) for dataset in areas[asked.areaId].datasets],
            message="waiting to begin",
        )
        started = started_session(task)
        return _json(started, 202, Location=started.status_url)

    @blueprint.get("/research/stream/<session_id>/events")
    @document_headers(ResumeHeaders)
    @document_response(EventStreamText, 200)
    @document_problems(400, 404, 410, 429, 503)
    async def events(session_id: str) -> TrioResponse:
        """Follow a session: its present state, then what comes, then its end."""
        return await task_stream(
            session_id, kind=KIND, group=group, heartbeat_seconds=settings.heartbeat_seconds
        )

    @blueprint.get("/research/stream/<session_id>/status")
    @document_response(Session, 200)
    @document_problems(404, 410)
    async def status(session_id: str) -> TrioResponse:
        """A session as it is now."""
        return _json(present_session(await tasks.get(session_id, kind=KIND)))

    @blueprint.get("/research/stream/<session_id>/result")
    @document_response(ResearchResult, 200)
    @document_problems(404, 409, 410)
    async def result(session_id: str) -> TrioResponse:
        """What a session found; 409 with Retry-After while it is still at it."""
        return _json(await tasks.result(session_id, kind=KIND))

    @blueprint.post("/research/stream/<session_id>/cancel")
    @document_response(Session, 200)
    @document_problems(404, 409, 410)
    async def cancel(session_id: str) -> TrioResponse:
        """End a session that nobody wants any more."""
        await tasks.get(session_id, kind=KIND)
        return _json(present_session(await tasks.cancel(session_id, message="the session was cancelled")))

    return blueprint


def _json(value: Any, status: int = 200, **headers: str) -> TrioResponse:
    response = TrioResponse(msgspec.json.encode(value), status=status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    response.headers.update(headers)
    return response
