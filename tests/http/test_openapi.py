"""``/openapi.json`` against the structure of OpenAPI 3.1, the routes, and the responses of the server."""

import re
import subprocess
import sys
from collections.abc import Iterator
from enum import StrEnum
from functools import partial
from typing import Any

import attrs
import httpx
import msgspec
import pytest
import trio
from quart import Blueprint
from quart_schema import document_querystring, document_request, document_response

from streamd import create_app
from streamd.extension import Service
from streamd.http.components import Components
from streamd.http.current import EXTENSION
from streamd.http.schema import PROBLEM_JSON as PROBLEM
from streamd.testing import RunningServer

METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
PARAMETER_LOCATIONS = frozenset({"query", "header", "path", "cookie"})
PYTHON_TYPES: dict[str, Any] = {
    "null": type(None),
    "boolean": bool,
    "object": dict,
    "array": list,
    "number": (int, float),
    "string": str,
    "integer": int,
}
STATUS = re.compile(r"[1-5](\d\d|XX)|default")
MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+*-]+(;.*)?")
OWN, PAGE = "streamd_", "streamd_web."  # prefixes of blueprint names: streamd's own, and the page's

OPERATION_IDS = {
    "POST /api/brand-monitor/analyses": "POST_brand_monitor_start",
    "GET /api/brand-monitor/analyses/{taskId}": "GET_brand_monitor_result",
    "POST /api/brand-monitor/analyses/{taskId}/cancel": "POST_brand_monitor_cancel",
    "GET /api/brand-monitor/health": "GET_brand_monitor_health",
    "GET /api/brand-monitor/progress/{taskId}": "GET_brand_monitor_follow",
    "POST /api/purchase-orders": "POST_purchase_orders_receive_order",
    "GET /api/purchase-orders/{po_id}": "GET_purchase_orders_show_order",
    "GET /api/realtime/events": "GET_purchase_orders_follow_merchant",
    "POST /api/strategy": "POST_strategy_create_strategy",
    "POST /api/strategy/{strategyId}/cancel": "POST_strategy_cancel_strategy",
    "GET /api/strategy/{strategyId}/events": "GET_strategy_strategy_events",
    "GET /api/strategy/{strategyId}/result": "GET_strategy_strategy_result",
    "GET /api/strategy/{strategyId}/status": "GET_strategy_strategy_status",
    "POST /api/v2/items": "POST_sentiment_take_items",
    "GET /api/v2/metrics": "GET_sentiment_metrics",
    "GET /api/v2/stream": "GET_sentiment_stream",
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
    "GET /research/stream/{researchSessionId}/result": "GET_research_result",
    "GET /research/stream/{researchSessionId}/status": "GET_research_status",
    "GET /tasks": "GET_tasks_list_tasks",
    "POST /tasks": "POST_tasks_create_task",
    "POST /tasks/claim": "POST_tasks_claim_task",
    "GET /tasks/{task_id}": "GET_tasks_get_task",
    "PATCH /tasks/{task_id}": "PATCH_tasks_report_on_task",
    "POST /tasks/{task_id}/cancel": "POST_tasks_cancel_task",
    "GET /tasks/{task_id}/events": "GET_tasks_follow_task",
    "GET /tasks/{task_id}/result": "GET_tasks_get_result",
}
"""By operation; generated clients name their functions after these."""

Operation = tuple[str, dict[str, Any]]


class Colour(StrEnum):
    """The colours of steps."""

    RED = "red"
    GREEN = "green"


@pytest.fixture
async def document() -> dict[str, Any]:
    answer = await create_app().test_client().get("/openapi.json")
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    document: dict[str, Any] = await answer.get_json()
    return document


def operations(document: dict[str, Any]) -> list[Operation]:
    """List the operations, each with its method and path."""
    return [
        (f"{method.upper()} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def contents(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the content of every request body and response, by media type."""
    for name, operation in operations(document):
        if "requestBody" in operation:
            yield f"{name}: body", operation["requestBody"]["content"]
        for status, answer in operation["responses"].items():
            yield f"{name}: {status}", answer.get("content", {})


def schemas(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every schema that is not part of another one."""
    yield from document.get("components", {}).get("schemas", {}).items()
    for name, operation in operations(document):
        for parameter in operation.get("parameters", []):
            yield f"{name}: {parameter['name']}", parameter["schema"]
    for name, content in contents(document):
        for media_type, media in content.items():
            yield f"{name}: {media_type}", media["schema"]


def walk(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every JSON object in a value, itself included."""
    if isinstance(value, dict):
        yield value
        for member in value.values():
            yield from walk(member)
    elif isinstance(value, list):
        for member in value:
            yield from walk(member)


def resolves(document: Any, reference: str) -> bool:
    """Return whether a reference resolves within the document (RFC 6901)."""
    if not reference.startswith("#/"):
        return False
    for step in reference[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(document, dict) or name not in document:
            return False
        document = document[name]
    return True


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


def shop_service(number: int) -> Service:
    """Build a service whose models have the names of others, also of those of its other instances."""

    class Item(msgspec.Struct):
        sku: str
        if number == 1:
            amount: int = 0

    class TaskSchema(msgspec.Struct):
        """The same name as a model of streamd."""

        items: list[Item]

    @attrs.define
    class Step:
        colour: str

    class NewOrder(msgspec.Struct):
        """The same name as a model of the purchase orders."""

        item: Item
        step: Step

    class StepFilter(msgspec.Struct):
        colour: Colour = Colour.RED

    blueprint = Blueprint(f"shop_{number}", __name__, url_prefix=f"/shop-{number}")

    @blueprint.post("/orders")
    @document_querystring(StepFilter)
    @document_request(NewOrder)
    @document_response(TaskSchema, 200)
    async def order() -> dict[str, Any]:
        """Order something."""
        return {}

    return Service(blueprint)


async def test_models_of_one_name_have_components_of_their_own() -> None:
    app = create_app()
    for number in (1, 2):
        app.extensions[EXTENSION].add(shop_service(number))
    document = await (await app.test_client().get("/openapi.json")).get_json()
    components = document["components"]["schemas"]
    assert components["Task"]["required"][:2] == ["id", "kind"], "streamd's own models keep their names"
    assert "lines" in components["NewOrder"]["properties"]
    for number in (1, 2):
        operation = document["paths"][f"/shop-{number}/orders"]["post"]
        [parameter] = operation["parameters"]
        assert [schema["enum"] for schema in resolve(document, parameter["schema"])] == [["green", "red"]]
        [body] = resolve(document, operation["requestBody"]["content"]["application/json"]["schema"])
        [answer] = resolve(document, operation["responses"]["200"]["content"]["application/json"]["schema"])
        [item] = resolve(document, body["properties"]["item"])
        [step] = resolve(document, body["properties"]["step"])
        assert list(item["properties"]) == (["sku", "amount"] if number == 1 else ["sku"])
        assert list(step["properties"]) == ["colour"]
        assert answer["properties"]["items"]["items"] == body["properties"]["item"]
        assert (body["title"], answer["title"]) == ("NewOrder", "Task")
    references = {str(part["$ref"]) for part in walk(document) if "$ref" in part}
    assert sorted(reference for reference in references if not resolves(document, reference)) == []


def test_two_distinct_models_never_share_a_component() -> None:
    def make() -> type[msgspec.Struct]:
        class Local(msgspec.Struct):
            name: str

        return Local

    models = [make() for _ in range(5)]
    described = Components([*models, list[models[0]]])  # type: ignore[valid-type]
    names = [described.describe(model)["$ref"].rpartition("/")[2] for model in models]
    assert len(set(names)) == len(described.schemas) == 5
    assert names[0] == "Local"
    assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", name) for name in names)
    assert Components(models[:3]).schemas.keys() <= described.schemas.keys(), "names stay when models follow"


async def test_the_document_is_built_once() -> None:
    client = create_app().test_client()
    first = await (await client.get("/openapi.json")).get_data()
    assert await (await client.get("/openapi.json")).get_data() == first


WITHOUT_PRIVATE_PARTS = """
import msgspec._json_schema, trio
del msgspec._json_schema._collect_component_types, msgspec._json_schema._SchemaGenerator
from streamd import create_app

async def main():
    http = create_app().test_client()
    for path in ("/connections", "/openapi.json"):
        print((await http.get(path)).status_code)

trio.run(main)
"""


def test_another_msgspec_breaks_the_document_alone() -> None:
    command = [sys.executable, "-c", WITHOUT_PRIVATE_PARTS]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert [line for line in done.stdout.splitlines() if line.isdigit()] == ["200", "500"]


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
    }
    described = {name: set(operation["responses"]) for name, operation in operations(document)}
    missing = {name: sorted(known[name] - described[name]) for name in known}
    assert {name: statuses for name, statuses in missing.items() if statuses} == {}


async def test_ndjson_bodies_and_the_cursor_header_are_described(document: dict[str, Any]) -> None:
    body = document["paths"]["/events"]["post"]["requestBody"]["content"]
    parameters = document["paths"]["/events"]["get"]["parameters"]
    assert "application/x-ndjson" in body
    assert ("Last-Event-ID", "header") in {(parameter["name"], parameter["in"]) for parameter in parameters}


def resolve(document: dict[str, Any], schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the alternatives of a schema, without references."""
    if "$ref" in schema:
        yield from resolve(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    elif "anyOf" in schema:
        for part in schema["anyOf"]:
            yield from resolve(document, part)
    else:
        yield schema


def fits(document: dict[str, Any], schema: dict[str, Any], value: Any) -> bool:
    """Return whether a value has one of a schema's types, all required members and no unknown ones."""
    return any(fits_one(document, part, value) for part in resolve(document, schema))


def fits_one(document: dict[str, Any], schema: dict[str, Any], value: Any) -> bool:
    if "type" in schema and not isinstance(value, PYTHON_TYPES[schema["type"]]):
        return False
    if isinstance(value, list):
        return all(fits(document, schema.get("items", {}), item) for item in value)
    members = schema.get("properties")
    if members is None or not isinstance(value, dict):
        return True
    return set(schema["required"]) <= set(value) <= set(members) and all(
        fits(document, members[name], member) for name, member in value.items()
    )


REQUESTS = [
    ("GET", "/health/live", "", b"", 200),
    ("GET", "/health/ready", "", b"", 200),
    ("GET", "/connections", "", b"", 200),
    ("GET", "/connections?limit=many", "", b"", 400),
    ("POST", "/events", "application/json", b'{"topic": "a", "retry": 5, "data": {"n": 1}}', 201),
    ("POST", "/events", "application/json", b'[{"topic": "a"}, {"topics": ["b", "c"], "type": "t"}]', 201),
    ("POST", "/events", "application/x-ndjson", b'{"topic": "a"}\nnonsense\n', 200),
    ("POST", "/events", "application/json", b"{", 400),
    ("POST", "/events", "text/plain", b"a", 415),
    ("GET", "/events/poll?topic=a&after=earliest", "", b"", 200),
    ("GET", "/events/poll?topic=a&after=1000000000000-000000&wait=0", "", b"", 200),
    ("GET", "/events/poll", "", b"", 400),
]


async def test_responses_match_their_schemas(document: dict[str, Any], streamd_server: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=streamd_server.url) as http:
        for method, path, content_type, body, status in REQUESTS:
            headers = {"Content-Type": content_type} if content_type else {}
            answer = await http.request(method, path, content=body or None, headers=headers)
            assert answer.status_code == status, (method, path)
            operation = document["paths"][path.partition("?")[0]][method.lower()]
            media = operation["responses"][str(status)]["content"][answer.headers["content-type"]]
            lines = answer.content.splitlines()
            assert lines, (method, path)
            for line in lines:
                assert fits(document, media["schema"], msgspec.json.decode(line)), (method, path, line)


async def test_retryable_statuses_have_retry_after(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            assert ("Retry-After" in answer.get("headers", {})) == (status in ("429", "503")), (name, status)


async def test_arrays_of_events_and_their_response_are_described(document: dict[str, Any]) -> None:
    operation = document["paths"]["/events"]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    answer = operation["responses"]["201"]["content"]["application/json"]["schema"]
    assert {part["type"] for part in resolve(document, body)} == {"object", "array"}
    assert [set(part["properties"]) for part in resolve(document, answer)] == [{"id"}, {"ids"}]


async def call(
    server: RunningServer, document: dict[str, Any], method: str, route: str, body: Any = None, **ids: str
) -> Any:
    """Send a request, and check its answer against the document, with no member unknown or missing."""
    async with httpx.AsyncClient(base_url=server.url) as http:
        answer = await http.request(method, route.format(**ids), json=body)
    operation = document["paths"][route.partition("?")[0]][method.lower()]
    assert str(answer.status_code) in operation["responses"], (route, answer.status_code, answer.text)
    content = operation["responses"][str(answer.status_code)]["content"]
    media = content[answer.headers["content-type"]]
    value = answer.json()
    assert fits(document, media["schema"], value), (method, route, answer.text)
    return value


async def ended(server: RunningServer, task_id: str) -> None:
    """Wait until a task has ended."""
    while not (await server.streamd.tasks.get(task_id)).status.ended:  # noqa: ASYNC110 - its stream is not tested
        await trio.sleep(0.005)


async def test_answers_about_tasks_match_their_schemas(
    document: dict[str, Any], streamd_server: RunningServer
) -> None:
    send = partial(call, streamd_server, document)
    task = await send("POST", "/tasks", {"kind": "k", "steps": [{"name": "one"}], "input": {"n": 1}})
    assert (await send("GET", "/tasks"))["tasks"][0].keys() == task.keys()
    claimed = await send("POST", "/tasks/claim", {"kinds": ["k"], "worker": "w"})
    report = {"lease": claimed["lease"], "step": {"name": "one", "status": "failed", "error": "it broke"}}
    await send("PATCH", "/tasks/{task_id}", report, task_id=task["id"])
    await send("GET", "/tasks/{task_id}/result", task_id=task["id"])  # 409
    await send("POST", "/tasks/{task_id}/cancel", {"message": "enough"}, task_id=task["id"])
    await send("GET", "/tasks/{task_id}", task_id=task["id"])
    await send("GET", "/tasks/{task_id}", task_id="unknown")  # 404


async def test_answers_of_services_match_their_schemas(
    document: dict[str, Any], streamd_server: RunningServer
) -> None:
    send = partial(call, streamd_server, document)
    area = (await send("GET", "/research/areas"))["areas"][0]["areaId"]
    query = {"areaId": area, "companyId": "unknown", "userRole": "CEO", "userCompany": "X"}
    session = await send("POST", "/research/stream", query)
    session_id = {"researchSessionId": session["researchSessionId"]}
    await ended(streamd_server, session["researchSessionId"])
    await send("GET", "/research/stream/{researchSessionId}/status", **session_id)
    await send("GET", "/research/stream/{researchSessionId}/result", **session_id)  # 409

    profile = {"business": "b", "audience": "a", "goals": ["g"], "channels": ["email"], "budget": 1000}
    strategy = await send("POST", "/api/strategy", profile)
    strategy_id = {"strategyId": strategy["strategyId"]}
    await send("GET", "/api/strategy/{strategyId}/status", **strategy_id)
    await ended(streamd_server, strategy["strategyId"])
    await send("GET", "/api/strategy/{strategyId}/status", **strategy_id)
    await send("GET", "/api/strategy/{strategyId}/result", **strategy_id)
    await send("POST", "/api/strategy/{strategyId}/cancel", **strategy_id)  # 409

    mentions = [{"text": "Acme is great", "source": "x", "time": "2026-01-01T00:00:00Z"}]
    analysis = await send("POST", "/api/brand-monitor/analyses", {"brand": "Acme", "mentions": mentions})
    await ended(streamd_server, analysis["taskId"])
    await send("GET", "/api/brand-monitor/analyses/{taskId}", taskId=analysis["taskId"])
    await send("GET", "/api/brand-monitor/health")

    await send("POST", "/api/v2/items", {"items": [{"ticker": "A", "text": "good"}]})
    await send("GET", "/api/v2/metrics")
    await send("GET", "/api/v2/stream/status")

    order = {"currency": "EUR", "lines": [{"sku": "A", "quantity": 1, "unitPrice": "2.00"}]}
    accepted = await send("POST", "/api/purchase-orders?merchantId=m", order)
    await ended(streamd_server, accepted["workflowId"])
    await send("GET", "/api/purchase-orders/{po_id}?merchantId=m", po_id=accepted["poId"])
