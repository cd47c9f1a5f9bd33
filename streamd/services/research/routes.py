"""The routes below ``/research``: the areas, and sessions."""

from collections.abc import Mapping
from typing import Final

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
    demand_tasks,
    document_idempotency,
    document_problems,
    idempotency_key,
    json_response,
    read_json,
    task_routes,
)
from ...tasks import StepPlan, Task
from .models import AreaList, ResearchResult, ResearchSession, StartedSession, describe_areas, present_session
from .query import ResearchQuery, check_query
from .settings import ResearchSettings
from .sources import Area

KIND: Final = "research"


def make_blueprint(streamd: Streamd, settings: ResearchSettings, areas: Mapping[str, Area]) -> Blueprint:
    """Build the routes of the service."""
    blueprint = Blueprint("streamd_research", __name__)

    @blueprint.get("/research/areas")
    @document_response(AreaList, 200)
    @document_problems(401, 403, 503)
    async def list_areas() -> TrioResponse:
        """List the areas, and the datasets of each."""
        await demand_tasks()
        return json_response(describe_areas(areas.values()))

    @blueprint.post("/research/stream")
    @document_request(ResearchQuery)
    @document_response(StartedSession, 202)
    @document_problems(400, 401, 403, 413, 415, 503, 504)
    @document_idempotency
    async def start() -> TrioResponse:
        """Start a session: collect an area's datasets about a company."""
        key = idempotency_key()
        caller = await demand_tasks()
        body = await read_json(ResearchQuery, max_bytes=settings.max_body_bytes)
        query = check_query(body, areas, settings.max_field_chars)
        task = await streamd.tasks.create(
            KIND,
            owner=caller.user,
            input=msgspec.to_builtins(query),
            steps=[StepPlan(dataset.name) for dataset in areas[query.area_id].datasets],
            message="Waiting to begin",
            idempotency_key=key,
        )
        # Initiated, even if work on it has begun by now.
        fields = {"researchSessionId": task.id, "status": "initiated", **routes.urls(task.id)}
        started = msgspec.convert(fields, StartedSession)
        return json_response(started, 202, {"Location": started.status_url})

    async def answer(task: Task) -> ResearchSession:
        return present_session(task, await streamd.tasks.input(task.id, type=ResearchQuery))

    routes = task_routes(
        blueprint,
        KIND,
        "/research/stream/<researchSessionId>",
        noun="session",
        status=StatusRoute("/status", model=ResearchSession, answer=answer, headers=False),
        events=EventsRoute(
            group=Group(KIND, max_lifetime_seconds=settings.stream.max_lifetime_seconds),
            heartbeat_seconds=settings.stream.heartbeat_seconds,
            headers=False,
        ),
        result=ResultRoute(model=ResearchResult),
        cancel=CancelRoute(
            model=ResearchSession,
            answer=answer,
            headers=False,
        ),
    )
    return blueprint
