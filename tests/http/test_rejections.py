"""Invalid input over HTTP: a problem that names the field, and nothing is published."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from streamd.connections.settings import ConnectionSettings
from streamd.events.settings import EventSettings
from streamd.log.settings import LogSettings
from streamd.settings import Settings
from tests.support.api import Api, check_problem, serving_api

SETTINGS = Settings(
    events=EventSettings(max_event_bytes=1000, max_body_bytes=5000, max_batch_events=3, max_line_bytes=2000),
    connections=ConnectionSettings(max_topics=3),
    log=LogSettings(),
)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving_api(SETTINGS) as api:
        yield api


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "topic"),
        ("topic=", "topic"),
        ("topic=a%0Ab", "topic"),
        ("topic=" + "x" * 2000, "topic"),
        ("topic=a&topic=b&pattern=c&pattern=d", "topic"),
        ("pattern=a/**/b", "pattern"),
        ("topic=a&last_event_id=7", "last_event_id"),
        ("topic=a&last_event_id=1700000000000-1", "last_event_id"),
        ("topic=a&overflow=drop", "overflow"),
        ("topic=a&overflow=", "overflow"),
        ("topic=a&include=", "include"),
        ("topic=a&include=topics&include=data", "include"),
        ("topic=a&client_id=", "client_id"),
        ("topic=a&client_id=" + "x" * 200, "client_id"),
        ("topic=a&heartbeat=0", "heartbeat"),
        ("topic=a&heartbeat=nan", "heartbeat"),
        ("topic=a&heartbeat=soon", "heartbeat"),
    ],
)
async def test_invalid_subscriptions_are_rejected_by_field(api: Api, query: str, field: str) -> None:
    check_problem(await api.http.get(f"/events?{query}"), 400, "invalid-field", field)
    assert api.server.streamd.connections.statistics()["active"] == 0


async def test_a_malformed_last_event_id_header_is_rejected(api: Api) -> None:
    answer = await api.http.get("/events?topic=a", headers={"Last-Event-ID": "evt_17"})
    check_problem(answer, 400, "invalid-field", "Last-Event-ID")


@pytest.mark.parametrize(
    ("query", "field"),
    [("", "topic"), ("topic=a&after=x", "after"), ("topic=a&wait=-1", "wait"), ("topic=a&wait=900", "wait")],
)
async def test_invalid_polls_are_rejected_by_field(api: Api, query: str, field: str) -> None:
    check_problem(await api.http.get(f"/events/poll?{query}"), 400, "invalid-field", field)


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"", 400, "invalid-body", None),
        (b"{", 400, "invalid-body", None),
        (b"7", 400, "invalid-body", None),
        (b'"a"', 400, "invalid-body", None),
        (b'{"data": 1}', 400, "invalid-field", "topic"),
        (b'{"topic": "a", "topics": ["b"]}', 400, "invalid-field", "topic"),
        (b'{"topics": []}', 400, "invalid-field", "topics"),
        (b'{"topic": 7}', 400, "invalid-body", "topic"),
        (b'{"topic": ""}', 400, "invalid-field", "topic"),
        (b'{"topic": "a", "tpye": "b"}', 400, "invalid-body", "tpye"),
        (b'{"topic": "a", "type": "b\\nid: 1"}', 400, "invalid-field", "type"),
        (b'{"topic": "a", "type": "gap"}', 400, "invalid-field", "type"),
        (b'{"topic": "a", "retry": -1}', 400, "invalid-field", "retry"),
        (b'{"topic": "a", "retry": "soon"}', 400, "invalid-body", "retry"),
        (b'{"topic": "a", "idempotency_key": ""}', 400, "invalid-field", "idempotency_key"),
        (b'{"topic": "a", "data": "' + b"x" * 1500 + b'"}', 413, "too-large", "data"),
        (b'{"topic": "a", "data": "' + b"x" * 9000 + b'"}', 413, "too-large", "body"),
        (b'[{"topic": "a"}, {"topic": "b", "type": "x\\r"}]', 400, "invalid-field", "[1].type"),
        (b'[{"topic": "a"}, {"data": 1}]', 400, "invalid-field", "[1].topic"),
        (b'[{"topic": "a"}, {"topic": "b"}, {"topic": "c"}, {"topic": "d"}]', 413, "too-large", "[]"),
    ],
)
async def test_invalid_events_are_rejected_and_nothing_is_published(
    api: Api, body: bytes, status: int, code: str, field: str | None
) -> None:
    head = api.server.streamd.runtime.broker.log.head
    answer = await api.http.post("/events", content=body, headers=JSON)
    if field == "body":  # Quart may reject it before the view reads it
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
    else:
        check_problem(answer, status, code, field)
    assert api.server.streamd.runtime.broker.log.head == head


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_bodies_of_other_content_types_are_rejected(api: Api, content_type: str) -> None:
    answer = await api.http.post("/events", content=b"x", headers={"Content-Type": content_type})
    check_problem(answer, 415, "unsupported-media-type", "Content-Type")


async def test_an_idempotency_key_with_other_content_is_a_conflict(api: Api) -> None:
    event = {"topic": "a", "data": 1, "idempotency_key": "k"}
    first = await api.http.post("/events", json=event)
    assert first.status_code == 201
    assert (await api.http.post("/events", json=event)).json() == first.json()
    head = api.server.streamd.runtime.broker.log.head
    answer = await api.http.post("/events", json=[{"topic": "b"}, event | {"data": 2}])
    check_problem(answer, 409, "idempotency-conflict", "idempotency_key")
    assert api.server.streamd.runtime.broker.log.head == head


async def test_ndjson_lines_are_answered_one_by_one(api: Api) -> None:
    lines = [
        b'{"topic": "a", "data": 1}',
        b"",
        b'{"topic": "a", "type": "gap"}',
        b"nonsense",
        b'{"topic": "a", "data": "' + b"x" * 1500 + b'"}',
        b'{"topic": "a", "data": "' + b"y" * 3000 + b'"}',
        b'{"topic": "a", "data": 2}',
    ]
    headers = {"Content-Type": "application/x-ndjson"}
    answer = await api.http.post("/events", content=b"\n".join(lines), headers=headers)
    assert answer.status_code == 200
    outcomes: list[dict[str, Any]] = [msgspec.json.decode(line) for line in answer.content.splitlines()]
    assert [outcome["line"] for outcome in outcomes] == [1, 3, 4, 5, 6, 7]
    assert [outcome.get("error", {}).get("code") for outcome in outcomes] == [
        None,
        "invalid-field",
        "invalid-body",
        "too-large",
        "too-large",
        None,
    ]
    polled = (await api.http.get("/events/poll?topic=a&after=earliest&wait=0")).json()
    assert [event["data"] for event in polled["events"]] == [1, 2]
    assert [event["id"] for event in polled["events"]] == [outcomes[0]["id"], outcomes[-1]["id"]]


async def test_unknown_paths_and_wrong_methods_are_problems(api: Api) -> None:
    check_problem(await api.http.get("/nowhere"), 404, "not-found", None)
    answer = await api.http.delete("/events")
    check_problem(answer, 405, "method-not-allowed", None)
    assert "GET" in answer.headers["allow"]
    check_problem(await api.http.get("/connections?limit=many"), 400, "invalid-field", "limit")


async def test_the_openapi_document_lists_the_routes(api: Api) -> None:
    paths = (await api.http.get("/openapi.json")).json()["paths"]
    assert {"/events", "/events/poll", "/connections", "/health/live", "/health/ready", "/metrics"} <= set(
        paths
    )
    assert {"get", "post"} <= set(paths["/events"])


async def test_metrics_count_publishes_deliveries_and_requests(api: Api) -> None:
    await api.http.post("/events", json={"topic": "a", "type": "stage"})
    await api.http.get("/events/poll?topic=a&after=earliest&wait=0")
    text = (await api.http.get("/metrics")).text
    for line in (
        'streamd_events_published_total{type="stage"} 1.0',
        'streamd_events_delivered_total{type="stage"} 1.0',
        "streamd_delivery_seconds_count 1.0",
        "streamd_gaps_total 0.0",
        "streamd_subscriptions_lagging 0.0",
        'streamd_request_seconds_count{method="POST",route="/events",status="201"} 1.0',
    ):
        assert line in text, line
