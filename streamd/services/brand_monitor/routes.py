"""``/api/brand-monitor``: start, follow and cancel an analysis; its result; the health of the streams."""

from quart import Blueprint
from quart_schema import document_request, document_response
from quart_trio.wrappers import TrioResponse

from ... import Streamd
from ...computing.computer import Computer
from ...connections import Group
from ...errors import InvalidField, TaskExists
from ...http import (
    JSON,
    CancelRoute,
    EventsRoute,
    ResultRoute,
    demand_tasks,
    document_idempotency,
    document_problems,
    idempotency_key,
    json_response,
    read_body,
    task_routes,
)
from ...json import EncodedJson
from ...tasks import Task
from .job import KIND, STEPS
from .messages import PREFIX
from .models import (
    AcceptedAnalysis,
    AnalysisBody,
    AnalysisResult,
    CancelledAnalysis,
    MonitorHealth,
    health_fields,
)
from .requests import parse_analysis
from .settings import BrandMonitorSettings


def make_blueprint(
    streamd: Streamd, settings: BrandMonitorSettings, group: Group, arrivals: Computer
) -> Blueprint:
    """Build the routes of the service.

    Args:
        streamd: creates the tasks.
        settings: the service's settings.
        group: admits the streams and keeps their statistics.
        arrivals: parses the requests.
    """
    blueprint = Blueprint("streamd_brand_monitor", __name__, url_prefix=PREFIX)

    @blueprint.post("/analyses")
    @document_request(AnalysisBody)
    @document_response(AcceptedAnalysis, 202)
    @document_problems(400, 401, 403, 413, 415, 503, 504)
    @document_idempotency
    async def start() -> TrioResponse:
        """Start an analysis of mentions of a brand: share of voice, sentiment and terms."""
        key = idempotency_key()
        caller = await demand_tasks()
        body = await read_body(max_bytes=settings.max_body_bytes, media_type=JSON)

        chosen_id, analysis = await arrivals.run(len(body), parse_analysis, body, settings)
        try:
            task = await streamd.tasks.create(
                KIND,
                id=chosen_id,
                owner=caller.user,
                input=EncodedJson(analysis),
                steps=STEPS,
                message="Waiting to begin",
                idempotency_key=key,
            )
        except (InvalidField, TaskExists) as error:
            if error.field != "id":
                raise
            raise type(error)(error.detail, field="taskId") from error
        urls = routes.urls(task.id)
        accepted = AcceptedAnalysis(task.id, urls["eventsUrl"], urls["resultUrl"])
        return json_response(accepted, 202, {"Location": urls["resultUrl"]})

    async def describe(task: Task) -> CancelledAnalysis:
        return CancelledAnalysis(task.id, task.status.value)

    routes = task_routes(
        blueprint,
        KIND,
        "",
        noun="analysis",
        status=None,
        events=EventsRoute(
            "/progress/<taskId>", "follow", group=group, heartbeat_seconds=settings.stream.heartbeat_seconds
        ),
        result=ResultRoute("/analyses/<taskId>", model=AnalysisResult),
        cancel=CancelRoute(
            "/analyses/<taskId>/cancel",
            model=CancelledAnalysis,
            answer=describe,
            headers=False,
        ),
    )

    @blueprint.get("/health")
    @document_response(MonitorHealth, 200)
    async def health() -> TrioResponse:
        """Return the health of this service's streams."""
        return json_response(health_fields(group.statistics()))

    return blueprint
