"""Each hot route answers the same past the web framework and through it."""

import gzip
import json
from typing import Any

import attrs
import pytest
import trio

from streamd.events import EventSettings
from streamd.limits import LimitSettings
from streamd.settings import Settings
from tests.support.doors import Request, both_doors, comparable

SECONDS = 60
ORIGIN = "https://app.example"
JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
EVENT = b'{"topic":"a","type":"moved","data":{"n":1}}'
SETTINGS = Settings(events=EventSettings(max_body_bytes=5000, max_event_bytes=2000, max_line_bytes=3000))
CORS = attrs.evolve(SETTINGS, server=attrs.evolve(SETTINGS.server, cors_origins=[ORIGIN]))


def with_header(name: str, value: str, headers: dict[str, str]) -> dict[str, str]:
    return {**headers, name: value}


def claim(**fields: Any) -> bytes:
    return json.dumps({"kinds": ["k"], "worker": "w", **fields}).encode()


PUBLISH = [
    Request("POST", "/events", JSON, EVENT, 201),
    Request("POST", "/events", {"Content-Type": "Application/JSON; charset=utf-8"}, EVENT, 201),
    Request("POST", "/events", JSON, b"\xef\xbb\xbf" + EVENT, 201),
    Request("POST", "/events", JSON, b"[" + EVENT + b"," + EVENT + b"]", 201),
    Request("POST", "/events", JSON, b" [" + EVENT + b",{}]", 400),
    Request("POST", "/events", NDJSON, EVENT + b"\n\nnonsense\n" + EVENT, 200),
    Request("POST", "/events", NDJSON, b"", 200),
    Request("POST", "/events", JSON, b"{", 400),
    Request("POST", "/events", JSON, b"", 400),
    Request("POST", "/events", JSON, b"[]", 201),
    Request("POST", "/events", JSON, b'{"topic":"tasks/1"}', 403),
    Request("POST", "/events", JSON, b'{"topic":"a","type":"heartbeat"}', 400),
    Request("POST", "/events", JSON, b'{"topic":"a","data":"' + b"x" * 3000 + b'"}', 413),
    Request("POST", "/events", JSON, b"x" * 6000, 413),
    Request("POST", "/events", {}, EVENT, 415),
    Request("POST", "/events", {"Content-Type": "text/plain"}, EVENT, 415),
    Request("POST", "/events", with_header("Content-Encoding", "gzip", JSON), gzip.compress(EVENT), 201),
    Request("POST", "/events", with_header("Content-Encoding", "gzip", NDJSON), gzip.compress(EVENT), 200),
    Request("POST", "/events", with_header("Content-Encoding", "gzip", NDJSON), b"no gzip", 400),
    Request("POST", "/events", with_header("Content-Encoding", "gzip", JSON), EVENT, 400),
    Request("POST", "/events", with_header("Content-Encoding", "br", JSON), EVENT, 415),
    Request("POST", "/events", with_header("Idempotency-Key", '"k1"', JSON), EVENT, 201),
    Request("POST", "/events", with_header("Idempotency-Key", "k1", JSON), EVENT, 201),
    Request("POST", "/events", with_header("Idempotency-Key", "k1", JSON), b'{"topic":"b"}', 409),
    Request("POST", "/events", with_header("Idempotency-Key", "a,b", JSON), EVENT, 400),
    Request("POST", "/events", with_header("Idempotency-Key", "k2", JSON), b"[]", 400),
    Request("POST", "/events", with_header("Idempotency-Key", "k2", NDJSON), EVENT, 400),
    Request("POST", "/events", with_header("Origin", "https://evil.example", JSON), EVENT, 403),
]
STREAMS = [
    Request("HEAD", "/events?topic=a"),
    Request("HEAD", "/events", status=400),
    Request("GET", "/events", status=400),
    Request("GET", "/events?topic=a&overflow=never", status=400),
    Request("GET", "/events?topic=a&last_event_id=yesterday", status=400),
    Request("GET", "/events?topic=a&lastEventId=yesterday", status=400),
    Request("GET", "/events?topic=a&on_limit=never", status=400),
    Request("GET", "/events?topic=a", {"Last-Event-ID": "never"}, status=400),
    Request("GET", "/events/poll?topic=a&after=earliest&wait=0"),
    Request("GET", "/events/poll?topic=a&topic=b&pattern=c/*&wait=0&client_id=me"),
    Request("HEAD", "/events/poll?topic=a&wait=10"),
    Request("GET", "/events/poll?topic=a&wait=soon", status=400),
    Request("GET", "/events/poll?topic=a&after=never&wait=0", status=400),
    Request("GET", "/events/poll", status=400),
]
TASKS = [
    Request("GET", "/tasks/t"),
    Request("HEAD", "/tasks/t"),
    Request("GET", "/tasks/t", {"If-None-Match": '"1"'}, status=304),
    Request("HEAD", "/tasks/t", {"If-None-Match": '"0", W/"1"'}, status=304),
    Request("GET", "/tasks/t", {"If-Match": '"9"'}, status=412),
    Request("GET", "/tasks/none", status=404),
    Request("GET", "/tasks/claim", status=404),
    Request("GET", "/tasks/%2Ft", status=404),
    Request("GET", "/tasks/t/", status=404),
    Request("GET", "/tasks/%C3%BC%20x", status=404),
    Request("PATCH", "/tasks/none", JSON, b'{"lease":"x"}', 404),
    Request("PATCH", "/tasks/t", JSON, b'{"nonsense":1}', 400),
    Request("PATCH", "/tasks/t", JSON, b"", 400),
    Request("PATCH", "/tasks/t", {}, b"{}", 415),
    Request("PATCH", "/tasks/t", JSON, b'{"lease":"wrong","progress":0.5}', 409),
    Request("PATCH", "/tasks/t", with_header("If-Match", '"9"', JSON), b'{"lease":"x"}', 409),
    Request("POST", "/tasks/claim", JSON, claim(kinds=["other"]), 204),
    Request("POST", "/tasks/claim", JSON, claim(wait_seconds=0.01, kinds=["other"]), 204),
    Request("POST", "/tasks/claim", JSON, claim(wait_seconds=1e6), 400),
    Request("POST", "/tasks/claim", JSON, claim(kinds=[]), 400),
    Request("POST", "/tasks/claim", JSON, claim(worker="local:x"), 400),
    Request("POST", "/tasks/claim", JSON, b"[]", 400),
    Request("POST", "/tasks/claim", {}, claim(), 415),
    Request("POST", "/tasks/claim", JSON, claim()),
    Request("POST", "/tasks/claim", JSON, claim(), 204),
    Request("PATCH", "/tasks/t", JSON, b'{"lease":"wrong","progress":0.5}', 409),
]
OPERATIONS = [
    Request("GET", "/health/live"),
    Request("HEAD", "/health/live"),
    Request("GET", "/health/ready"),
    Request("HEAD", "/health/ready"),
    Request("GET", "/health/live", {"Host": "10.1.2.3"}),
    Request("GET", "/metrics"),
    Request("HEAD", "/metrics"),
]
METHODS = [
    Request(method, path, status=status)
    for path in ("/events", "/events/poll", "/tasks/t", "/tasks/claim", "/health/live", "/metrics")
    for method, status in (("DELETE", 405), ("PUT", 405), ("TRACE", 405))
]
CORS_REQUESTS = [
    attrs.evolve(request, headers=with_header("Origin", ORIGIN, request.headers))
    for request in (*PUBLISH[:9], *STREAMS, *TASKS[:8], *OPERATIONS)
]
LIMITED = [
    Request("POST", "/events", JSON, EVENT, 201),
    Request("POST", "/events", JSON, b"{", 400),
    Request("POST", "/events", JSON, b"[" + b",".join([EVENT] * 4) + b"]", 429),
    Request("POST", "/events", JSON, EVENT, 429),
    Request("POST", "/events", with_header("Test-Address", "192.0.2.9", JSON), EVENT, 201),
    Request("HEAD", "/events?topic=a"),
    Request("GET", "/events?topic=a&overflow=never", status=429),
    Request("GET", "/events?topic=a&on_limit=retry", status=200),
    Request("GET", "/events/poll?topic=a&wait=0"),
    Request("GET", "/events/poll?topic=a&wait=0", status=429),
    Request("GET", "/events/poll?topic=a&on_limit=retry", {"Accept": "text/event-stream, text/html"}),
    Request("GET", "/events/poll?topic=a&on_limit=retry", status=429),
    Request("GET", "/tasks/t"),
    Request("POST", "/tasks/claim", JSON, claim(), 429),
    Request("OPTIONS", "/health/live"),
]


def bearer(token: str, headers: dict[str, str] | None = None) -> dict[str, str]:
    return with_header("Authorization", f"Bearer {token}", headers or {})


REFUSED = [
    Request("POST", "/events", JSON, EVENT, 401),
    Request("POST", "/events", bearer("publisher", JSON), EVENT, 201),
    Request("POST", "/events", bearer("publisher", JSON), b'{"topic":"z"}', 403),
    Request("POST", "/events", bearer("nobody", JSON), EVENT, 401),
    Request("POST", "/events", bearer("publisher", NDJSON), EVENT + b'\n{"topic":"z"}'),
    Request("POST", "/events?ticket=ticket", JSON, EVENT, 403),
    Request("POST", "/events", {**JSON, "Authorization": "Basic x"}, EVENT, 401),
    Request("GET", "/events?topic=a", status=401),
    Request("GET", "/events?topic=a", bearer("publisher"), status=403),
    Request("HEAD", "/events?topic=a", bearer("reader")),
    Request("HEAD", "/events?topic=a&ticket=ticket"),
    Request("HEAD", "/events?topic=a&ticket=ticket", status=401),
    Request("GET", "/events/poll?topic=a&wait=0", bearer("reader")),
    Request("GET", "/events/poll?topic=merchant:8:x&wait=0", bearer("shop"), status=403),
    Request("GET", "/tasks/t", status=401),
    Request("GET", "/tasks/t", bearer("one")),
    Request("GET", "/tasks/t", bearer("two"), status=404),
    Request("PATCH", "/tasks/t", bearer("two", JSON), b"{}", 404),
    Request("POST", "/tasks/claim", bearer("one", JSON), claim(), 403),
    Request("POST", "/tasks/claim", bearer("worker", JSON), claim()),
    Request("GET", "/health/live"),
    Request("GET", "/metrics", status=401),
    Request("GET", "/metrics", bearer("reader"), status=403),
    Request("HEAD", "/metrics", bearer("admin")),
]


@pytest.mark.parametrize(
    ("requests", "settings"),
    [
        pytest.param(PUBLISH, SETTINGS, id="publish"),
        pytest.param(STREAMS, SETTINGS, id="streams"),
        pytest.param(TASKS, SETTINGS, id="tasks"),
        pytest.param(OPERATIONS, SETTINGS, id="operations"),
        pytest.param(METHODS, SETTINGS, id="methods"),
        pytest.param(CORS_REQUESTS, CORS, id="cors"),
    ],
)
async def test_answers_are_the_same(requests: list[Request], settings: Settings) -> None:
    with trio.fail_after(SECONDS):
        async with both_doors(settings) as doors:
            assert await doors.differences(requests) == []


async def test_reports_of_a_worker_are_answered_the_same() -> None:
    answers: list[list[Any]] = []
    with trio.fail_after(SECONDS):
        async with both_doors(SETTINGS) as doors:
            for client in doors.clients:
                claimed = await client.post("/tasks/claim", content=claim(), headers=JSON)
                lease = claimed.json()["lease"]
                reports: tuple[tuple[str, dict[str, Any]], ...] = (
                    ("*", {"progress": 0.5, "message": "half"}),
                    ("*", {"progress": "late"}),
                    ('"99"', {"progress": 0.7}),
                    ("*", {"status": "completed", "result": {"n": 1}}),
                    ("*", {"progress": 0.9}),
                )
                answers.append([comparable(claimed)])
                for tag, report in reports:
                    headers = {"X-Request-Id": "same", "If-Match": tag, **JSON}
                    body = json.dumps({"lease": lease, **report})
                    answer = await client.patch("/tasks/t", content=body, headers=headers)
                    answers[-1].append(comparable(answer))
                answers[-1].append(comparable(await client.get("/tasks/t", headers={"X-Request-Id": "same"})))
    assert [answer[0] for answer in answers[0]] == [200, 200, 400, 412, 200, 409, 200]
    assert answers[0][1:] == answers[1][1:]


async def test_answers_of_limited_routes_are_the_same() -> None:
    rate = 0.001  # nothing is earned during the test
    limits = LimitSettings(
        publish_per_second=rate,
        publish_burst=3,
        events_per_second=rate,
        events_burst=3,
        connect_per_second=rate,
        connect_burst=1,
        subscribe_per_second=rate,
        subscribe_burst=1,
        tasks_per_second=rate,
        tasks_burst=1,
    )
    with trio.fail_after(SECONDS):
        async with both_doors(attrs.evolve(CORS, limits=limits)) as doors:
            assert await doors.differences(LIMITED) == []


async def test_refusals_of_callers_are_the_same() -> None:
    with trio.fail_after(SECONDS):
        async with both_doors(CORS, with_keys=True) as doors:
            assert await doors.differences(REFUSED) == []
