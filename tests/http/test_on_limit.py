"""``on_limit``: a stream that cannot be served for now is a problem, or a stream that ends and has ``retry``.

A native EventSource gives up after a 503 or 429, and comes back after a 200 that ends.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import msgspec
import pytest
import trio
from quart import Blueprint, Response

from streamd import EventStream, create_app
from streamd.client import ClosingNotice, Connected, ReceivedEvent, subscribe
from streamd.connections.settings import ConnectionSettings
from streamd.events.sse import Decoder, ServerSentEvent
from streamd.http.schema import EventStreamText
from streamd.limits import LimitSettings
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import open_stream
from tests.support.addressed import give_addresses
from tests.support.api import Api, check_problem, serving_api
from tests.support.plain import NO_SERVICES
from tests.support.tokens import auth_settings, make_token

RETRY_AFTER_SECONDS = 7.0
ORIGIN = "https://shop.example"
STREAM = "/events?topic=a"
MERCHANT = "/api/realtime/events?merchantId=7"
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def settings_with(**connections: Any) -> Settings:
    return Settings(
        connections=ConnectionSettings(retry_after_seconds=RETRY_AFTER_SECONDS, **connections),
        server=ServerSettings(cors_origins=[ORIGIN]),
    )


@asynccontextmanager
async def full(*, hooked: bool = False, **connections: Any) -> AsyncIterator[Api]:
    """Serve with one slot, which is taken; ``hooked``: without the fast path."""
    settings = settings_with(max_connections=1, **connections)
    app = create_app(settings)

    @app.get("/own")
    async def own() -> EventStream:
        return EventStream("own")

    @app.get("/generated")
    async def generated() -> EventStream:
        async def numbers() -> AsyncIterator[int]:
            yield 1

        return EventStream(numbers())

    if hooked:

        @app.before_request
        async def do_nothing() -> None:
            """Disable the fast path."""

    async with (
        serving_api(settings, app) as api,
        open_stream(api.server.url, topics=["a"]) as stream,
    ):
        await stream.next_control("connected")
        yield api


def with_parameter(path: str, value: str = "retry") -> str:
    return f"{path}{'&' if '?' in path else '?'}on_limit={value}"


def check_retry(answer: httpx.Response, reason: str) -> None:
    """Check that an answer is one ``closing`` block with ``retry:``, and a whole response."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].partition(";")[0] == "text/event-stream"
    assert "no-cache" in answer.headers["cache-control"]
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["x-request-id"]
    assert "retry-after" not in answer.headers
    decoder = Decoder()
    decoder.receive_data(answer.content)
    block = decoder.next_event()
    assert isinstance(block, ServerSentEvent)
    assert block.type == "closing"
    fields = msgspec.json.decode(block.data)
    assert set(fields) == {"reason", "detail"}
    assert fields["reason"] == reason
    assert fields["detail"]
    assert block.last_event_id == "", "the client's cursor stays"
    assert decoder.next_event() is None
    assert decoder.retry_ms is not None
    least = 1000 * RETRY_AFTER_SECONDS
    assert least <= decoder.retry_ms <= 2 * least


async def create_task(api: Api) -> str:
    created = await api.http.post("/tasks", json={"kind": "k"})
    assert created.status_code == 201
    return f"/tasks/{created.json()['id']}/events"


@pytest.mark.parametrize("hooked", [False, True], ids=["fast path", "view"])
@pytest.mark.parametrize("path", [STREAM, "/own", "/generated", "/api/v2/stream", MERCHANT, "task"])
async def test_every_stream_without_a_slot_is_answered_as_the_parameter_says(path: str, hooked: bool) -> None:
    async with full(hooked=hooked) as api:
        path = await create_task(api) if path == "task" else path
        check_retry(await api.http.get(with_parameter(path)), "too-many-connections")
        for asked in (path, with_parameter(path, "error")):
            refused = await api.http.get(asked)
            check_problem(refused, 503, "too-many-connections")
            assert refused.headers["retry-after"] == "7"


@pytest.mark.parametrize("hooked", [False, True], ids=["fast path", "view"])
async def test_the_setting_decides_for_requests_without_the_parameter(hooked: bool) -> None:
    async with full(hooked=hooked, on_limit="retry") as api:
        task = await create_task(api)
        for path in (STREAM, "/own", task):
            check_retry(await api.http.get(path), "too-many-connections")
            check_problem(await api.http.get(with_parameter(path, "error")), 503, "too-many-connections")


async def test_the_setting_is_reloaded() -> None:
    async with full() as api:
        check_problem(await api.http.get(STREAM), 503, "too-many-connections")
        runtime = api.server.streamd.runtime
        settings = runtime.broker.settings
        runtime.broker.apply_settings(
            attrs.evolve(settings, connections=attrs.evolve(settings.connections, on_limit="retry"))
        )
        check_retry(await api.http.get(STREAM), "too-many-connections")


async def test_only_a_get_for_an_event_stream_is_answered_so() -> None:
    async with full(on_limit="retry") as api:
        for path in (STREAM, "/own"):
            head = await api.http.head(path)
            assert (head.status_code, head.headers["retry-after"]) == (503, "7")
        accepting = {"Accept": "text/event-stream"}
        for accepted in (
            "application/json",
            "application/json, text/event-stream",
            "text/event-stream;q=0, application/json",
        ):
            poll = await api.http.get("/events/poll?topic=a&wait=0", headers={"Accept": accepted})
            check_problem(poll, 503, "too-many-connections")
        check_problem(await api.http.get("/none", headers=accepting), 404, "not-found")
        upgrade = await api.http.get(STREAM, headers=UPGRADE)
        check_problem(upgrade, 503, "too-many-connections")


async def test_a_drain_is_answered_so() -> None:
    async with full() as api:
        task = await create_task(api)
        api.server.streamd.connections.draining = True
        for path in (STREAM, task):
            check_retry(await api.http.get(with_parameter(path)), "shutting-down")
            check_problem(await api.http.get(path), 503, "shutting-down")


async def test_the_maximum_of_an_address_is_answered_so() -> None:
    settings = settings_with(max_per_address=1)
    async with serving_api(settings, give_addresses(create_app(settings))) as api:
        async with open_stream(api.server.url, topics=["a"]) as stream:
            await stream.next_control("connected")
            check_retry(await api.http.get(with_parameter(STREAM)), "too-many-for-caller")
            check_problem(await api.http.get(STREAM), 429, "too-many-for-caller")


async def test_a_rate_limit_is_answered_so_on_every_stream_and_on_no_other_route() -> None:
    """The limit comes before the view, which therefore cannot say that it streams."""
    base = settings_with()
    rates = {f"{name}_per_second": 0.001 for name in ("connect", "subscribe", "services")}
    bursts = {f"{name}_burst": 1 for name in ("connect", "subscribe", "services")}
    limits = LimitSettings(**rates, **bursts)  # type: ignore[arg-type] # each of its field
    settings = attrs.evolve(base, limits=limits)
    app = create_app(settings)
    documented: dict[str, bool] = {}  # by path: whether it is a stream
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        answers = getattr(view, "_quart_schema_response_schemas", {})
        if "GET" in (rule.methods or ()) and 429 in answers and not rule.websocket:
            documented[re.sub(r"<[^>]+>", "x", rule.rule)] = answers.get(200, (None,))[0] is EventStreamText
    streams = [path for path, is_stream in documented.items() if is_stream]
    assert {"/events", "/tasks/x/events", "/api/v2/stream", "/api/strategy/x/events"} <= set(streams)
    async with serving_api(settings, give_addresses(app)) as api:

        async def refused(path: str, address: str, headers: dict[str, str]) -> httpx.Response:
            headers = {**headers, "Test-Address": address}
            await api.http.head(path, headers=headers)  # takes what the limit allows
            return await api.http.get(with_parameter(path), headers=headers)

        for number, path in enumerate(streams):
            answer = await refused(path, f"192.0.2.{number}", {"Origin": ORIGIN})
            assert answer.status_code == 200, path
            assert answer.headers["access-control-allow-origin"] == ORIGIN
            assert answer.headers["ratelimit"]
            decoder = Decoder()
            decoder.receive_data(answer.content)
            block = decoder.next_event()
            assert isinstance(block, ServerSentEvent)
            assert (block.type, msgspec.json.decode(block.data)["reason"]) == ("closing", "too-many-requests")
            assert decoder.retry_ms is not None
            assert 1_000_000 <= decoder.retry_ms <= 1_000_000 + 1000 * RETRY_AFTER_SECONDS
        others = [path for path, is_stream in documented.items() if not is_stream]
        services = [path for path in others if path.startswith("/api")]
        for number, path in enumerate(services):
            answer = await refused(path, f"198.51.100.{number}", {"Accept": "application/json"})
            check_problem(answer, 429, "too-many-requests")


async def test_errors_of_the_request_stay_problems() -> None:
    async with full(on_limit="retry") as api:
        check_problem(await api.http.get("/events"), 400, "invalid-field", "topic")
        check_problem(await api.http.get("/tasks/none/events"), 404, "not-found", "id")


async def test_a_caller_without_rights_is_told_so() -> None:
    settings = attrs.evolve(settings_with(max_connections=1, on_limit="retry"), auth=auth_settings())
    async with serving_api(settings) as api:
        for path in (STREAM, "/tasks/none/events"):
            forged = {"Authorization": "Bearer x.y.z"}
            check_problem(await api.http.get(path, headers=forged), 401, "invalid-token")
        token = make_token(subscribe=["b"])
        answer = await api.http.get("/api/v2/stream", headers={"Authorization": f"Bearer {token}"})
        check_problem(answer, 403, "forbidden", "Authorization")


@pytest.mark.parametrize("hooked", [False, True], ids=["fast path", "view"])
@pytest.mark.parametrize("value", ["", "later", "RETRY"])
async def test_other_values_are_refused_by_name_on_every_stream(value: str, hooked: bool) -> None:
    async with full(hooked=hooked) as api:
        for path in (STREAM, "/own", "/generated", "/api/v2/stream", await create_task(api)):
            answer = await api.http.get(with_parameter(path, value))
            check_problem(answer, 400, "invalid-field", "on_limit")


async def test_a_rejection_that_becomes_a_stream_is_counted_as_one() -> None:
    async with full() as api:
        check_retry(await api.http.get(with_parameter(STREAM)), "too-many-connections")
        metrics = (await api.http.get("/metrics")).text
        assert 'streamd_connections_refused_total{code="too-many-connections"} 1.0' in metrics


async def test_the_connection_serves_the_next_request() -> None:
    async with full() as api:
        stream = await trio.open_tcp_stream("127.0.0.1", api.server.port)
        async with stream:
            for target, more in ((with_parameter(STREAM), ""), ("/health/live", "Connection: close\r\n")):
                await stream.send_all(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode())
            answers = b"".join([bytes(part) async for part in stream])
        assert answers.count(b"HTTP/1.1 200") == 2


async def test_a_client_of_streamd_waits_and_comes_back() -> None:
    connections = ConnectionSettings(max_connections=1, on_limit="retry", retry_after_seconds=0.001)
    settings = Settings(connections=connections, **NO_SERVICES)
    with trio.fail_after(30):
        async with serving_api(settings) as api, subscribe(api.server.url, topics=["a"]) as subscription:
            async with open_stream(api.server.url, topics=["a"]) as stream:
                await stream.next_control("connected")
                assert isinstance(await anext(subscription), ClosingNotice)
            while not isinstance(await anext(subscription), Connected):
                pass
            await api.server.streamd.publish("a", "after the wait")
            async for item in subscription:
                if isinstance(item, ReceivedEvent):
                    assert item.data == "after the wait"
                    break


async def test_a_view_that_is_not_documented_is_known_by_the_accept_of_the_client() -> None:
    settings = settings_with()
    limits = LimitSettings(services_per_second=0.001, services_burst=1)
    app = create_app(attrs.evolve(settings, limits=limits))
    own = Blueprint("own", __name__)

    @own.get("/of-a-program")
    async def of_a_program() -> Response:
        return Response("x")

    app.register_blueprint(own)
    async with serving_api(settings, give_addresses(app)) as api:
        path = with_parameter("/of-a-program")
        assert (await api.http.get(path)).status_code == 200
        accepted = await api.http.get(path, headers={"Accept": "text/event-stream"})
        assert accepted.headers["content-type"].startswith("text/event-stream")
        check_problem(await api.http.get(path), 429, "too-many-requests")
