"""Requests that repeat the head of the last one on their connection, which are served past its layers."""

import gzip
import json
from collections.abc import Awaitable
from typing import Any

import httpx
import pytest
import trio

from streamd.app import create_app
from streamd.auth import AuthSettings
from streamd.http.guard import Guard
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from tests.support.access_rig import bearer, serving
from tests.support.api import Api, check_problem, serving_api

EVENT = {"topic": "a", "data": "x"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the methods of the requests that the guard has seen; repetitions pass it."""
    seen: list[str] = []
    check = Guard.__call__

    def record(guard: Guard, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        if scope["type"] == "http":
            seen.append(scope["method"])
        return check(guard, scope, receive, send)

    monkeypatch.setattr(Guard, "__call__", record)
    return seen


async def post(http: httpx.AsyncClient, content: Any = None, **headers: str) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content or EVENT).encode()
    return await http.post("/events", content=body, headers={**JSON, **headers})


async def test_the_third_request_with_a_head_is_a_repetition(guarded: list[str]) -> None:
    async with serving_api() as api:
        bodies: list[Any] = [EVENT, EVENT, EVENT, {"topic": "b", "data": "longer " * 9}, [EVENT, EVENT]]
        answers = [await post(api.http, body) for body in bodies]
        assert [answer.status_code for answer in answers] == [201] * len(answers)
        assert guarded == ["POST", "POST"]
        ids = [answer.headers["x-request-id"] for answer in answers]
        assert len(set(ids)) == len(ids)
        assert [len(answer.json().get("ids", "1")) for answer in answers] == [1, 1, 1, 1, 2]
        found = await api.http.get("/events/poll", params={"topic": ["a", "b"], "after": "earliest"})
        assert [event["data"] for event in found.json()["events"]] == ["x"] * 3 + ["longer " * 9] + ["x"] * 2


async def test_a_given_request_id_is_that_of_each_repetition() -> None:
    async with serving_api() as api:
        answers = [await post(api.http, **{"X-Request-Id": "mine"}) for _ in range(4)]
        assert {answer.headers["x-request-id"] for answer in answers} == {"mine"}


async def test_what_is_wrong_with_a_repetition_is_told_as_ever(guarded: list[str]) -> None:
    async with serving_api() as api:
        for _ in range(3):
            await post(api.http)
        check_problem(await post(api.http, b"{"), 400, "invalid-body")
        check_problem(await post(api.http, {"topic": ""}), 400, "invalid-field", "topic")
        assert (await post(api.http)).status_code == 201
        assert len(guarded) == 2
        large = {"topic": "a", "data": "x" * 2_000_000}
        check_problem(await post(api.http, large), 413, "too-large", "data")
        assert len(guarded) == 2
        assert (await post(api.http)).status_code == 201


async def test_each_repetition_is_asked_for_its_rights(guarded: list[str]) -> None:
    async with serving() as rig:
        headers = bearer("publisher")
        answers = [await post(rig.http, **headers) for _ in range(3)]
        answers.append(await post(rig.http, {"topic": "c", "data": ""}, **headers))
        rig.proofs.revoked.add("p")
        answers.append(await post(rig.http, **headers))
        rig.proofs.revoked.clear()
        answers.append(await post(rig.http, **headers))
        assert [answer.status_code for answer in answers] == [201, 201, 201, 403, 401, 201]
        assert len(guarded) == 2


async def test_settings_that_changed_apply_to_an_open_connection(guarded: list[str]) -> None:
    async with serving_api() as api:
        assert [(await post(api.http)).status_code for _ in range(3)] == [201] * 3
        streamd = api.server.streamd
        streamd.guard.apply_settings(Settings(server=ServerSettings(hosts=["other.example"])))
        check_problem(await post(api.http), 421, "misdirected-host", "Host")
        assert len(guarded) == 3


async def test_no_repetition_passes_middleware_of_a_program(guarded: list[str]) -> None:
    app = create_app(Settings())
    inner = app.asgi_app
    called: list[str] = []

    def middleware(scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        if scope["type"] == "http":
            called.append(scope["path"])
        return inner(scope, receive, send)

    app.asgi_app = middleware  # type: ignore[assignment,method-assign]
    async with serving_api(app=app) as api:
        for _ in range(4):
            assert (await post(api.http)).status_code == 201
    assert called == ["/events"] * 4
    assert len(guarded) == 4


async def test_answers_pass_the_send_of_middleware() -> None:
    app = create_app(Settings())
    inner = app.asgi_app

    def middleware(scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        async def with_header(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"x-added", b"yes")]}
            await send(message)

        return inner(scope, receive, with_header if scope["type"] == "http" else send)

    app.asgi_app = middleware  # type: ignore[assignment,method-assign]
    async with serving_api(app=app) as api:
        answers = [await post(api.http) for _ in range(3)]
        answers.append(await api.http.get("/health/live"))
    assert [answer.headers.get("x-added") for answer in answers] == ["yes"] * 4


async def test_bodies_in_other_forms_can_be_repeated(guarded: list[str]) -> None:
    lines = b'{"topic":"a","data":1}\n{"topic":"a","data":2}\n'
    packed = gzip.compress(json.dumps(EVENT).encode())
    async with serving_api() as api:
        for _ in range(3):
            answer = await api.http.post(
                "/events", content=lines, headers={"Content-Type": "application/x-ndjson"}
            )
            assert answer.text.count('"id"') == 2
        for _ in range(3):
            assert (await post(api.http, packed, **{"Content-Encoding": "gzip"})).status_code == 201
        assert len(guarded) == 4
        found = await api.http.get("/events/poll", params={"topic": "a", "after": "earliest"})
        assert [event["data"] for event in found.json()["events"]] == [1, 2] * 3 + ["x"] * 3


async def test_a_repetition_whose_body_comes_late_is_read_to_its_end(guarded: list[str]) -> None:
    async with serving_api() as api:
        stream = await trio.open_tcp_stream("127.0.0.1", int(api.server.url.rpartition(":")[2]))
        head = b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head += b"Content-Length: 24\r\n\r\n"
        body = b'{"topic":"a","data":123}'
        async with stream:
            for cut in (24, 24, 24, 0, 5, 24):
                await stream.send_all(head + body[:cut])
                if cut < len(body):
                    await api.http.get("/health/live")  # the server has read the part by now
                    await stream.send_all(body[cut:])
                received = b""
                while not received.endswith(b"}"):
                    received += await stream.receive_some()
                assert received.startswith(b"HTTP/1.1 201 ")
        assert guarded.count("POST") == 2
        assert len(await _events(api)) == 6


async def test_pipelined_repetitions_are_answered_in_order(guarded: list[str]) -> None:
    async with serving_api() as api:
        stream = await trio.open_tcp_stream("127.0.0.1", int(api.server.url.rpartition(":")[2]))
        head = b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        sent = b""
        for number in range(40):
            body = b'{"topic":"a","data":%d}' % number
            sent += head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        async with stream:
            await stream.send_all(sent)
            received = b""
            while received.count(b'{"id"') < 40:
                received += await stream.receive_some()
        assert len(guarded) == 2
        events = await _events(api)
        assert [event["data"] for event in events] == list(range(40))
        ids = [event["id"].encode() for event in events]
        assert [received.find(event_id) for event_id in ids] == sorted(map(received.find, ids))
        assert -1 not in map(received.find, ids)


async def test_reports_of_a_task_are_repetitions(guarded: list[str]) -> None:
    async with serving_api() as api:
        await api.server.streamd.tasks.create("k", id="t")
        claimed = await api.http.post("/tasks/claim", json={"kinds": ["k"], "worker": "w"})
        for percent in (10, 20, 30, 40):
            report = {"lease": claimed.json()["lease"], "progress": percent}
            answer = await api.http.patch("/tasks/t", content=json.dumps(report), headers=JSON)
            assert answer.status_code == 200, answer.text
        assert guarded == ["POST", "PATCH", "PATCH"]
        assert (await api.http.get("/tasks/t")).json()["progress"] == 40


async def test_open_mode_that_ends_is_no_right_of_a_repetition() -> None:
    async with serving_api() as api:
        assert [(await post(api.http)).status_code for _ in range(3)] == [201] * 3
        api.server.streamd.runtime.access.settings = AuthSettings(jwks_url="https://keys.test")
        assert (await post(api.http)).status_code == 401


async def _events(api: Api) -> list[Any]:
    """Return the first events of the topic."""
    query = {"topic": "a", "after": "earliest"}
    found = await api.http.get("/events/poll", params=query)
    events: list[Any] = found.json()["events"]
    return events
