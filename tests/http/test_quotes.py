"""Answers and log lines quote at most 200 characters of what a client has sent, and no secret of it."""

import json
from collections.abc import Iterator, Mapping

import pytest
import structlog
from structlog.testing import LogCapture

from streamd.settings import Settings
from tests.support.api import serving_api
from tests.support.plain import NO_SERVICES

LONG = "x" * 3000
QUOTED = "x" * 201
SECRETS = {
    "Authorization": "Bearer secret.of.token",
    "Cookie": "session=secret-cookie",
    "Resume-Secret": "secret-resume",
}
JSON = {"Content-Type": "application/json"}


def body(**members: object) -> bytes:
    return json.dumps({"topic": "a", **members}).encode()


REQUESTS: dict[str, tuple[str, str, Mapping[str, str], bytes]] = {
    "path": ("GET", f"/{LONG}", {}, b""),
    "topic": ("GET", f"/events?topic={LONG}", {}, b""),
    "pattern": ("GET", f"/events?pattern=a/**/{LONG}", {}, b""),
    "overflow": ("GET", f"/events?topic=a&overflow={LONG}", {}, b""),
    "include": ("GET", f"/events?topic=a&include={LONG}", {}, b""),
    "heartbeat": ("GET", f"/events?topic=a&heartbeat={LONG}", {}, b""),
    "client_id": ("GET", f"/events?topic=a&client_id={LONG}", {}, b""),
    "cursor": ("GET", f"/events?topic=a&last_event_id={LONG}", {}, b""),
    "Last-Event-ID": ("GET", "/events?topic=a", {"Last-Event-ID": LONG}, b""),
    "wait": ("GET", f"/events/poll?topic=a&wait={LONG}", {}, b""),
    "after": ("GET", f"/events/poll?topic=a&after={LONG}", {}, b""),
    "limit": ("GET", f"/connections?limit={LONG}", {}, b""),
    "connection": ("GET", f"/connections/{LONG}", {}, b""),
    "task": ("GET", f"/tasks/{LONG}", {}, b""),
    "task stream": ("GET", f"/tasks/{LONG}/events", {}, b""),
    "status of tasks": ("GET", f"/tasks?status={LONG}", {}, b""),
    "method": (LONG, "/events", {}, b""),
    "origin": ("POST", "/events", {"Origin": LONG}, b""),
    "Content-Type": ("POST", "/events", {"Content-Type": f"text/{LONG}"}, b"x"),
    "Idempotency-Key": ("POST", "/events", {**JSON, "Idempotency-Key": LONG}, body()),
    "topic of an event": ("POST", "/events", JSON, body(topic=LONG)),
    "type": ("POST", "/events", JSON, body(type=f"a\n{LONG}")),
    "encoding": ("POST", "/events", JSON, body(encoding=LONG)),
    "retry": ("POST", "/events", JSON, body(retry=LONG)),
    "member": ("POST", "/events", JSON, body(**{LONG: 1})),
    "syntax": ("POST", "/events", JSON, body() + LONG.encode()),
    "kind": ("POST", "/tasks", JSON, json.dumps({"kind": LONG}).encode()),
    "event types": ("POST", "/tasks", JSON, json.dumps({"kind": "k", "event_types": {LONG: "\n"}}).encode()),
    "step": ("POST", "/tasks", JSON, json.dumps({"kind": "k", "steps": [{"name": LONG}] * 2}).encode()),
    "deadline": ("POST", "/tasks", JSON, json.dumps({"kind": "k", "timeout_seconds": LONG}).encode()),
}


@pytest.fixture
def lines() -> Iterator[LogCapture]:
    """Capture every log line, also those of loggers that have been used before."""
    capture = LogCapture()
    processors = structlog.get_config()["processors"]
    before = [*processors]
    processors[:] = [structlog.contextvars.merge_contextvars, capture]
    yield capture
    processors[:] = before


async def test_long_input_is_cut_in_answers_and_log_lines(lines: LogCapture) -> None:
    async with serving_api(Settings(**NO_SERVICES)) as api:
        for name, (method, path, headers, content) in REQUESTS.items():
            answer = await api.http.request(method, path, headers={**headers, **SECRETS}, content=content)
            assert 400 <= answer.status_code < 500 or (name, answer.status_code) == ("method", 501)
            assert QUOTED not in answer.text, name
            assert "secret" not in answer.text, name
    shown = repr(lines.entries)
    assert len(lines.entries) >= len(REQUESTS)
    assert QUOTED not in shown
    assert "secret" not in shown


async def test_no_log_line_has_the_data_of_an_event_or_a_secret(lines: LogCapture) -> None:
    async with serving_api(Settings(**NO_SERVICES)) as api:
        for content in (b'{"topic": "a", "data": "secret-data"}', b'{"topic": "a", "data": "secret-data"'):
            await api.http.post("/events", headers={**JSON, **SECRETS}, content=content)
        query = "topic=a&after=earliest&wait=0&resume_secret=secret-resume"
        polled = await api.http.get(f"/events/poll?{query}", headers=SECRETS)
        assert "secret-data" in polled.text
    assert lines.entries
    assert "secret" not in repr(lines.entries)
