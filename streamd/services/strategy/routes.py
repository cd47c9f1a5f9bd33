"""``/api/strategy``: request a strategy, follow it, fetch it, cancel it."""

from typing import Any, Final

import msgspec
from quart import Blueprint
from quart_schema import document_request, document_response
from quart_trio.wrappers import TrioResponse

from ... import Streamd
from ...connections import Group
from ...events import format_time
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
from ...tasks import Task, make_snapshot
from .job import STEPS
from .models import AcceptedStrategy, ProfileBody, StrategyResult, StrategyStatus
from .requests import check_profile
from .settings import StrategySettings

KIND: Final = "strategy"


def make_blueprint(streamd: Streamd, settings: StrategySettings) -> Blueprint:
    """Build the routes of the service."""
    blueprint = Blueprint("streamd_strategy", __name__, url_prefix="/api/strategy")
    tasks = streamd.tasks

    @blueprint.post("")
    @document_request(ProfileBody)
    @document_response(AcceptedStrategy, 202)
    @document_problems(400, 401, 403, 413, 415, 503, 504)
    @document_idempotency
    async def create_strategy() -> TrioResponse:
        """Start writing a strategy for a profile."""
        key = idempotency_key()
        caller = await demand_tasks()
        body = await read_json(ProfileBody, max_bytes=settings.max_body_bytes)
        profile = check_profile(body)
        task = await tasks.create(
            KIND,
            owner=caller.user,
            input=msgspec.to_builtins(profile),
            steps=STEPS,
            message="The strategy is about to be written",
            idempotency_key=key,
        )
        urls = routes.urls(task.id)
        accepted = {
            "strategyId": task.id,
            "status": task.status.value,
            **urls,
            "deadline": format_time(task.deadline),
        }
        return json_response(accepted, 202, {"Location": urls["statusUrl"]})

    async def describe(task: Task) -> dict[str, Any]:
        """Build the body that shows a poller the same as a new stream's first message."""
        message = make_snapshot(task, await tasks.text(task.id))
        return {**message.data, "strategyId": task.id, **routes.urls(task.id)}

    routes = task_routes(
        blueprint,
        KIND,
        "/<strategyId>",
        noun="strategy",
        status=StatusRoute(
            "/status",
            "strategy_status",
            model=StrategyStatus,
            answer=describe,
            retry_after_seconds=settings.poll_seconds,
        ),
        events=EventsRoute(
            name="strategy_events",
            group=Group(KIND, max_lifetime_seconds=settings.stream.max_lifetime_seconds),
            heartbeat_seconds=settings.stream.heartbeat_seconds,
            headers=False,
        ),
        result=ResultRoute(name="strategy_result", model=StrategyResult),
        cancel=CancelRoute(
            name="cancel_strategy",
            model=StrategyStatus,
            answer=describe,
            headers=False,
        ),
    )
    return blueprint
