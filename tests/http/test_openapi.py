"""``/openapi.json`` against the structure of OpenAPI 3.1, and against the routes."""

import re
from typing import Any

from streamd import create_app
from streamd.http.schema import PROBLEM_JSON as PROBLEM
from tests.support.openapi_document import (
    METHODS,
    PYTHON_TYPES,
    contents,
    operations,
    resolves,
    schemas,
    walk,
)

PARAMETER_LOCATIONS = frozenset({"query", "header", "path", "cookie"})
STATUS = re.compile(r"[1-5](\d\d|XX)|default")
MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+*-]+(;.*)?")
OWN, PAGE = "streamd_", "streamd_web."  # prefixes of blueprint names: streamd's own, and the page's

OPERATION_IDS = {
    "POST /auth/ticket": "POST_auth_create_ticket",
    "POST /auth/cookie": "POST_auth_set_cookie",
    "DELETE /auth/cookie": "DELETE_auth_delete_cookie",
    "GET /auth/revocations": "GET_auth_list_revocations",
    "POST /auth/revocations": "POST_auth_revoke",
    "POST /api/brand-monitor/analyses": "POST_brand_monitor_start",
    "GET /api/brand-monitor/analyses/{taskId}": "GET_brand_monitor_result",
    "POST /api/brand-monitor/analyses/{taskId}/cancel": "POST_brand_monitor_cancel",
    "GET /api/brand-monitor/health": "GET_brand_monitor_health",
    "GET /api/brand-monitor/progress/{taskId}": "GET_brand_monitor_follow",
    "GET /api/brand-monitor/progress/{taskId}/poll": "GET_brand_monitor_follow_poll",
    "POST /api/purchase-orders": "POST_purchase_orders_receive_order",
    "GET /api/purchase-orders/{po_id}": "GET_purchase_orders_show_order",
    "GET /api/realtime/events": "GET_purchase_orders_follow_merchant",
    "GET /api/realtime/events/poll": "GET_purchase_orders_follow_merchant_poll",
    "POST /api/strategy": "POST_strategy_create_strategy",
    "POST /api/strategy/{strategyId}/cancel": "POST_strategy_cancel_strategy",
    "GET /api/strategy/{strategyId}/events": "GET_strategy_strategy_events",
    "GET /api/strategy/{strategyId}/events/poll": "GET_strategy_strategy_events_poll",
    "GET /api/strategy/{strategyId}/result": "GET_strategy_strategy_result",
    "GET /api/strategy/{strategyId}/status": "GET_strategy_strategy_status",
    "POST /api/v2/items": "POST_sentiment_take_items",
    "GET /api/v2/metrics": "GET_sentiment_metrics",
    "GET /api/v2/stream": "GET_sentiment_stream",
    "GET /api/v2/stream/poll": "GET_sentiment_stream_poll",
    "GET /api/v2/stream/status": "GET_sentiment_status",
    "GET /connections": "GET_connections_list_connections",
    "POST /connections/broadcast": "POST_connections_broadcast",
    "GET /connections/{id}": "GET_connections_show_connection",
    "DELETE /connections/{id}": "DELETE_connections_close_connection",
    "POST /connections/{id}/send": "POST_connections_send_to_connection",
    "GET /events": "GET_events_subscribe",
    "POST /events": "POST_events_publish",
    "GET /events/poll": "GET_events_poll_events",
    "GET /health/live": "GET_operations_live",
    "GET /health/ready": "GET_operations_ready",
    "GET /metrics": "GET_operations_metrics",
    "GET /research/areas": "GET_research_list_areas",
    "POST /research/stream": "POST_research_start",
    "POST /research/stream/{researchSessionId}/cancel": "POST_research_cancel",
    "GET /research/stream/{researchSessionId}/events": "GET_research_events",
    "GET /research/stream/{researchSessionId}/events/poll": "GET_research_events_poll",
    "GET /research/stream/{researchSessionId}/result": "GET_research_result",
    "GET /research/stream/{researchSessionId}/status": "GET_research_status",
    "GET /tasks": "GET_tasks_list_tasks",
    "POST /tasks": "POST_tasks_create_task",
    "POST /tasks/claim": "POST_tasks_claim_task",
    "GET /tasks/{task_id}": "GET_tasks_get_task",
    "PATCH /tasks/{task_id}": "PATCH_tasks_report_on_task",
    "POST /tasks/{task_id}/cancel": "POST_tasks_cancel_task",
    "GET /tasks/{task_id}/events": "GET_tasks_follow_task",
    "GET /tasks/{task_id}/events/poll": "GET_tasks_follow_task_poll",
    "GET /tasks/{task_id}/result": "GET_tasks_get_result",
}
"""By operation; generated clients name their functions after these."""


def check_schema(name: str, schema: Any) -> None:
    """Check that keywords are used as JSON Schema 2020-12 defines them."""
    assert isinstance(schema, dict), name
    types = schema.get("type", [])
    assert ({types} if isinstance(types, str) else set(types)) <= set(PYTHON_TYPES), name
    assert isinstance(schema.get("enum", []), list), name
    assert isinstance(schema.get("required", []), list), name
    assert set(schema.get("required", [])) <= set(schema.get("properties", {})), name
    if "pattern" in schema:
        re.compile(schema["pattern"])
    for keyword in ("anyOf", "oneOf", "allOf"):
        assert schema.get(keyword) != [], name
        for part in schema.get(keyword, []):
            check_schema(f"{name}/{keyword}", part)
    for member, part in schema.get("properties", {}).items():
        check_schema(f"{name}/{member}", part)
    for keyword in ("items", "additionalProperties"):
        if not isinstance(schema.get(keyword, True), bool):
            check_schema(f"{name}/{keyword}", schema[keyword])


async def test_the_document_has_version_title_and_known_members_only(document: dict[str, Any]) -> None:
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert document["info"]["title"] == "streamd"
    assert document["info"]["version"]
    assert document["paths"]
    known = {"openapi", "info", "servers", "paths", "webhooks", "components", "security", "tags"}
    assert set(document) <= known | {"jsonSchemaDialect", "externalDocs"}


async def test_the_document_describes_exactly_the_routes_of_the_api(document: dict[str, Any]) -> None:
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in create_app().url_map.iter_rules()
        if rule.endpoint.startswith(OWN) and not rule.endpoint.startswith(PAGE) and not rule.websocket
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert ("/events", "get") in routes
    described = {
        (path, method) for path, item in document["paths"].items() for method in item if method in METHODS
    }
    assert described == routes


async def test_every_operation_has_a_unique_id_and_a_summary(document: dict[str, Any]) -> None:
    identifiers = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(identifiers)) == len(identifiers)
    assert [name for name, operation in operations(document) if not operation["summary"].strip()] == []


async def test_operation_ids_are_stable(document: dict[str, Any]) -> None:
    assert {name: operation["operationId"] for name, operation in operations(document)} == OPERATION_IDS


async def test_parameters_are_unique_and_have_a_schema(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        parameters = operation.get("parameters", [])
        keys = [(parameter["name"], parameter["in"]) for parameter in parameters]
        assert len(set(keys)) == len(keys), name
        assert {location for _, location in keys} <= PARAMETER_LOCATIONS, name
        assert all("schema" in parameter for parameter in parameters), name
        in_path = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", name)), name


async def test_responses_have_a_status_a_description_and_media_types(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            assert STATUS.fullmatch(status), (name, status)
            assert answer["description"].strip(), (name, status)
    for name, content in contents(document):
        for media_type, media in content.items():
            assert MEDIA_TYPE.fullmatch(media_type), name
            assert "schema" in media, name


async def test_schemas_use_keywords_as_json_schema_defines_them(document: dict[str, Any]) -> None:
    found = list(schemas(document))
    assert found
    for name, schema in found:
        check_schema(name, schema)


async def test_every_reference_resolves(document: dict[str, Any]) -> None:
    references = {str(part["$ref"]) for part in walk(document) if "$ref" in part}
    assert references
    assert sorted(reference for reference in references if not resolves(document, reference)) == []


async def test_every_operation_describes_success(document: dict[str, Any]) -> None:
    without = [
        name
        for name, operation in operations(document)
        if not any(status.startswith("2") or status == "default" for status in operation["responses"])
    ]
    assert without == []


async def test_the_stream_has_the_media_type_of_event_streams(document: dict[str, Any]) -> None:
    assert "text/event-stream" in document["paths"]["/events"]["get"]["responses"]["200"]["content"]


async def test_error_responses_are_problems(document: dict[str, Any]) -> None:
    violations = [
        f"{name}: {status}: {', '.join(answer.get('content', {}))}"
        for name, operation in operations(document)
        for status, answer in operation["responses"].items()
        if status.startswith(("4", "5")) and PROBLEM not in answer.get("content", {})
    ]
    assert violations == []


async def test_error_statuses_of_the_api_are_described(document: dict[str, Any]) -> None:
    """Compare with the statuses that the other tests of the API receive."""
    known = {
        "GET /events": {"400", "429", "503"},
        "GET /events/poll": {"400", "429", "503"},
        "POST /events": {"400", "409", "413", "415", "503"},
        "GET /connections": {"400"},
        "GET /connections/{id}": {"404"},
        "DELETE /connections/{id}": {"403", "404"},
        "POST /connections/{id}/send": {"400", "403", "404", "409", "413", "415", "503"},
        "POST /connections/broadcast": {"400", "403", "413", "415"},
        "GET /health/ready": {"503"},
        "GET /tasks": {"421"},
        "PATCH /tasks/{task_id}": {"403", "421"},
    }
    described = {name: set(operation["responses"]) for name, operation in operations(document)}
    missing = {name: sorted(known[name] - described[name]) for name in known}
    assert {name: statuses for name, statuses in missing.items() if statuses} == {}


async def test_ndjson_bodies_and_the_cursor_header_are_described(document: dict[str, Any]) -> None:
    body = document["paths"]["/events"]["post"]["requestBody"]["content"]
    parameters = document["paths"]["/events"]["get"]["parameters"]
    assert "application/x-ndjson" in body
    assert ("Last-Event-ID", "header") in {(parameter["name"], parameter["in"]) for parameter in parameters}


async def test_retryable_statuses_have_retry_after(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            assert ("Retry-After" in answer.get("headers", {})) == (status in ("429", "503")), (name, status)
