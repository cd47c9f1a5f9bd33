"""``/api/strategy``: ask for a strategy, follow it, fetch it, give it up."""

import math
from typing import Any, Final

from quart import Blueprint, request
from quart_schema import document_headers, document_request, document_response

from ...connections import Group
from ...events.control import format_time
from ...http import EventStream, schema
from ...http.problems import document_problems
from ...http.requests import read_json
from ...http.routes.tasks import task_headers, task_stream
from ...runtime import Runtime
from ...tasks import Task
from ...tasks.messages import make_snapshot
from .catalogue import STEPS
from .models import AcceptedStrategy, ProfileBody, StrategyResult, StrategyStatus
from .profile import check_profile

KIND: Final = "strategy"

Answer = tuple[dict[str, Any], int, dict[str, str]]


def make_blueprint(runtime: Runtime, group: Group) -> Blueprint:
    """The views.

    Args:
        services: the server's parts; its tasks know the kind.
        group: the connections of this service.
    """
    blueprint = Blueprint("streamd_strategy", __name__, url_prefix="/api/strategy")
    settings = runtime.broker.settings.strategy
    tasks = runtime.tasks

    async def describe(strategy_id: str) -> tuple[Task, dict[str, Any]]:
        """What a stream that begins now would say first; so those who poll see the same."""
        stored = await tasks.store.snapshot(strategy_id)
        message = make_snapshot(stored.task, stored.text)
        return stored.task, {**message.data, "strategyId": strategy_id, **urls_of(strategy_id)}

    @blueprint.post("")
    @document_request(ProfileBody)
    @document_response(AcceptedStrategy, 202)
    @document_problems(400, 413, 415, 503)
    async def create_strategy() -> Answer:
        """Have a strategy written for a profile."""
        body = await read_json(request, ProfileBody, runtime.broker.settings.events, settings.max_body_bytes)
        profile = check_profile(body, settings)
        task = await tasks.create(
            KIND, input=profile.to_json(), steps=STEPS, message="The strategy is about to be written"
        )
        urls = urls_of(task.id)
        accepted = {
            "strategyId": task.id,
            "status": task.status.value,
            **urls,
            "deadline": format_time(task.deadline),
        }
        return accepted, 202, {"Location": urls["statusUrl"], **_NO_STORE}

    @blueprint.get("/<strategy_id>/status")
    @document_response(StrategyStatus, 200)
    @document_problems(404, 410)
    async def strategy_status(strategy_id: str) -> Answer:
        """How far it is, for those who poll; ``Retry-After`` as long as there is more to come."""
        await tasks.get(strategy_id, kind=KIND)
        task, fields = await describe(strategy_id)
        headers = {**_NO_STORE, **task_headers(task)}
        if not task.status.ended:
            headers["Retry-After"] = str(math.ceil(settings.poll_seconds))
        return fields, 200, headers

    @blueprint.get("/<strategy_id>/events")
    @document_headers(schema.ResumeHeaders)
    @document_response(schema.EventStreamText, 200)
    @document_response(schema.Nothing, 204)
    @document_problems(400, 404, 410, 429, 503)
    async def strategy_events(strategy_id: str) -> EventStream:
        """Its present state with the text so far, then everything that happens to it, until its end."""
        return await task_stream(
            strategy_id, kind=KIND, group=group, heartbeat_seconds=settings.heartbeat_seconds
        )

    @blueprint.get("/<strategy_id>/result")
    @document_response(StrategyResult, 200)
    @document_problems(404, 409, 410)
    async def strategy_result(strategy_id: str) -> Answer:
        """The strategy; 409 with ``Retry-After`` until it is complete."""
        return await tasks.result(strategy_id, kind=KIND), 200, _NO_STORE

    @blueprint.post("/<strategy_id>/cancel")
    @document_response(StrategyStatus, 200)
    @document_problems(404, 409, 410)
    async def cancel_strategy(strategy_id: str) -> Answer:
        """Give it up; one that has ended stays as it is (409)."""
        await tasks.get(strategy_id, kind=KIND)
        await tasks.cancel(strategy_id, message="The strategy was cancelled")
        _, fields = await describe(strategy_id)
        return fields, 200, _NO_STORE

    return blueprint


_NO_STORE: Final = {"Cache-Control": "no-store"}


def urls_of(strategy_id: str) -> dict[str, str]:
    """Where a strategy can be followed, fetched and given up."""
    base = f"/api/strategy/{strategy_id}"
    return {
        "statusUrl": f"{base}/status",
        "eventsUrl": f"{base}/events",
        "resultUrl": f"{base}/result",
        "cancelUrl": f"{base}/cancel",
    }
