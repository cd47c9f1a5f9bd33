"""Answers of a server fit the schemas of ``/openapi.json``."""

from functools import partial
from typing import Any

import httpx
import msgspec
import trio

from streamd.testing import RunningServer
from tests.support.openapi_document import PYTHON_TYPES, resolve


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
