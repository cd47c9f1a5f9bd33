"""Every stream of the server over all three transports: the same messages, cursors and refusals."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import attrs
import httpx
import pytest
import trio
from quart_schema.validation import QUART_SCHEMA_RESPONSE_ATTRIBUTE

from streamd import EventStream, create_app
from streamd.http.current import EXTENSION
from streamd.http.schema import EventStreamText
from streamd.services.sentiment.settings import SentimentSettings
from streamd.settings import Settings
from streamd.tasks import Kind, Progress, Tasks
from streamd.tasks.settings import TaskSettings
from streamd.testing import RunningServer, run_server
from tests.support.messages import StreamMessage
from tests.support.service_tasks import SERVICES, ServiceRoutes, ServiceTasks
from tests.support.stream_clients import TRANSPORTS, Refused, WebSocketClient, open_client
from tests.support.tokens import auth_settings, make_token

UNKNOWN = "unknown"


def find_streams() -> set[str]:
    """Find the paths of all event streams of the server."""
    app = create_app()
    rules = [rule for rule in app.url_map.iter_rules() if not rule.websocket]
    return {rule.rule for rule in rules if streams(app.view_functions[rule.endpoint])}


def streams(view: Callable[..., Any]) -> bool:
    """Return True for a view whose answer is an event stream, by its documentation or its annotation."""
    answers = getattr(view, QUART_SCHEMA_RESPONSE_ATTRIBUTE, {}).values()
    returned = view.__annotations__.get("return")
    is_annotated = isinstance(returned, type) and issubclass(returned, EventStream)
    return is_annotated or EventStreamText in [model for model, _ in answers]


@attrs.frozen
class Stage:
    """A server whose runner is busy, so that the test does the work of all tasks."""

    server: RunningServer
    http: httpx.AsyncClient
    tasks: Tasks

    def tasks_of(self, routes: ServiceRoutes) -> ServiceTasks:
        return ServiceTasks(routes, self.http, self.server.url, self.tasks)


Act = Callable[[], Awaitable[None]]
Setup = Callable[[Stage], Awaitable[tuple[str, Act]]]


@attrs.frozen
class Stream:
    """One stream.

    Args:
        rule: its path, as the application has it.
        setup: returns the path of a request, and a function that makes one more message.
        has_state: it begins with the current state.
        refusals: of requests, by path: the status, and ``field`` of the problem.
    """

    rule: str
    setup: Setup
    has_state: bool = False
    refusals: dict[str, tuple[int, str]] = attrs.field(factory=dict)


async def events(stage: Stage) -> tuple[str, Act]:
    number = 0

    async def act() -> None:
        nonlocal number
        number += 1
        await stage.server.streamd.publish("a", {"n": number}, type="number")

    return "/events?topic=a", act


async def orders(stage: Stage) -> tuple[str, Act]:
    async def act() -> None:
        data = {
            "poId": "po-1",
            "workflowId": "1",
            "stage": "ai_parsing",
            "progress": 10,
            "message": "parsing",
        }
        await stage.server.streamd.publish("merchant:7:progress", data, type="progress")

    return "/api/realtime/events?merchantId=7", act


async def items(stage: Stage) -> tuple[str, Act]:
    async def act() -> None:
        items = [{"ticker": "ACME", "text": "a wonderful product"}]
        answer = await stage.http.post("/api/v2/items", json={"items": items})
        assert answer.status_code == 202

    return "/api/v2/stream", act


async def task(routes: ServiceRoutes, stage: Stage) -> tuple[str, Act]:
    service = stage.tasks_of(routes)
    task_id = await service.running()

    async def act() -> None:
        await service.handle(await stage.tasks.get(task_id)).update(message="more of it")

    return routes.events.format(id=task_id), act


def task_stream(service: str, rule: str, name: str) -> Stream:
    routes = SERVICES[service]
    unknown = routes.events.format(id=UNKNOWN)
    return Stream(rule, partial(task, routes), has_state=True, refusals={unknown: (404, name)})


STREAMS: Final = (
    Stream("/events", events, refusals={"/events": (400, "topic")}),
    Stream(
        "/api/realtime/events",
        orders,
        refusals={
            "/api/realtime/events": (400, "merchantId"),
            "/api/realtime/events?merchantId=a:b": (400, "merchantId"),
        },
    ),
    Stream("/api/v2/stream", items, has_state=True),
    task_stream("tasks", "/tasks/<task_id>/events", "id"),
    task_stream("research", "/research/stream/<researchSessionId>/events", "researchSessionId"),
    task_stream("strategy", "/api/strategy/<strategyId>/events", "strategyId"),
    task_stream("brand_monitor", "/api/brand-monitor/progress/<taskId>", "taskId"),
)
every_stream = pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.rule)
every_transport = pytest.mark.parametrize("transport", TRANSPORTS)
TASKS: Final = ("tasks", "research", "strategy", "brand_monitor")


@asynccontextmanager
async def staging(*, token: str = "", **sections: Any) -> AsyncIterator[Stage]:
    settings = Settings(tasks=TaskSettings(max_running=1), **sections)
    app = create_app(settings)
    tasks: Tasks = app.extensions[EXTENSION].tasks
    held = trio.Event()
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def occupy(_: Progress) -> None:
        held.set()
        await trio.sleep_forever()

    tasks.register(Kind(name="held", work=occupy))
    with trio.fail_after(60):
        async with (
            run_server(settings, app=app) as server,
            httpx.AsyncClient(base_url=server.url, timeout=30, headers=headers) as http,
        ):
            await tasks.create("held")
            await held.wait()
            yield Stage(server, http, tasks)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staging() as stage:
        yield stage


# --- all of them ------------------------------------------------------------------------------------


def test_every_stream_is_tested_here() -> None:
    assert {stream.rule for stream in STREAMS} == find_streams()


def test_every_stream_has_all_three_transports() -> None:
    rules = {(rule.rule, rule.websocket) for rule in create_app().url_map.iter_rules()}
    for path in find_streams():
        assert (path, True) in rules, f"{path} has no WebSocket"
        assert (f"{path}/poll", False) in rules, f"{path} has no long polling"


async def read_events(
    stage: Stage, transport: str, path: str, cursor: str, count: int
) -> list[StreamMessage]:
    """Read events after a cursor, past messages without an id."""
    found: list[StreamMessage] = []
    async with open_client(stage.server, transport, path, cursor=cursor) as client:
        while len(found) < count:
            found += [message for message in await client.take(1) if message.id]
    return found


@every_stream
async def test_each_transport_replays_and_resumes_with_the_same_messages(
    stage: Stage, stream: Stream
) -> None:
    path, act = await stream.setup(stage)
    for _ in range(5):
        await act()
    wanted = await read_events(stage, "sse", path, "earliest", 5)
    for transport in TRANSPORTS:
        assert await read_events(stage, transport, path, "earliest", 5) == wanted, transport
        for index, message in enumerate(wanted[:4]):
            rest = await read_events(stage, transport, path, message.id, 4 - index)
            assert rest == wanted[index + 1 :], transport


@every_transport
@every_stream
async def test_a_new_client_receives_the_state_and_then_what_happens(
    stage: Stage, stream: Stream, transport: str
) -> None:
    path, act = await stream.setup(stage)
    await act()
    async with open_client(stage.server, "sse", path) as reference:
        wanted = await reference.take(1) if stream.has_state else []
    async with open_client(stage.server, transport, path) as client:
        state = await client.take(1) if stream.has_state else []
        assert [message.type for message in state] == [message.type for message in wanted]
        assert [message.data.keys() for message in state] == [message.data.keys() for message in wanted]
        head = stage.server.streamd.head
        await act()
        [event] = await client.take(1)
        while not event.id:
            [event] = await client.take(1)
        assert event.id > head


# --- refusals ---------------------------------------------------------------------------------------


async def refusal(
    stage: Stage, transport: str, path: str, cursor: str = "", token: str | None = None
) -> Refused:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with pytest.raises(Refused) as refused:
        async with open_client(stage.server, transport, path, cursor=cursor, headers=headers):
            pass
    return refused.value


@every_stream
async def test_a_request_is_refused_alike(stage: Stage, stream: Stream) -> None:
    path, _ = await stream.setup(stage)
    names = {"sse": "Last-Event-ID", "websocket": "last_event_id", "poll": "after"}
    for transport, name in names.items():
        refused = await refusal(stage, transport, path, cursor="nonsense")
        assert (refused.status, refused.problem["code"]) == (400, "invalid-field"), transport
        assert refused.problem["field"] == name
        for refused_path, (status, field) in stream.refusals.items():
            refused = await refusal(stage, transport, refused_path)
            assert (refused.status, refused.problem["field"]) == (status, field), (transport, refused_path)


def token_of(user: str, **grants: Any) -> str:
    now = time.time()
    return make_token({"sub": user, "iat": now, "exp": now + 3600, **grants})


@every_stream
async def test_a_caller_is_refused_alike(stream: Stream) -> None:
    grants = {"tasks": "own", "subscribe": ["a", "sentiment/*"], "merchant": "7"}
    own = token_of("ada", **grants)
    async with staging(token=own, auth=auth_settings()) as stage:
        path, _ = await stream.setup(stage)
        of_a_task = "<" in stream.rule
        code = "not-found" if of_a_task else "forbidden"
        for transport in TRANSPORTS:
            missing = await refusal(stage, transport, path)
            assert (missing.status, missing.problem["code"]) == (401, "unauthorized"), transport
            wrong = await refusal(stage, transport, path, token="nonsense")
            assert (wrong.status, wrong.problem["code"]) == (401, "invalid-token"), transport
            other = await refusal(stage, transport, path, token=token_of("eve", publish=["x"]))
            assert (other.status, other.problem["code"]) == (404 if of_a_task else 403, code), transport
            async with open_client(stage.server, transport, path, headers={"Authorization": f"Bearer {own}"}):
                pass


@pytest.mark.parametrize("holder", ["sse", "websocket"])
async def test_the_limit_of_a_service_holds_for_every_transport(holder: str) -> None:
    stream = attrs.evolve(SentimentSettings().stream, max_connections=1)
    async with staging(sentiment=SentimentSettings(stream=stream)) as stage:
        async with open_client(stage.server, holder, "/api/v2/stream"):
            status = (await stage.http.get("/api/v2/stream/status")).json()
            assert status["connections"] == 1
            for transport in TRANSPORTS:
                refused = await refusal(stage, transport, "/api/v2/stream")
                assert (refused.status, refused.problem["code"]) == (503, "too-many-connections"), transport


@every_stream
async def test_a_page_of_another_site_opens_no_socket(stage: Stage, stream: Stream) -> None:
    path, _ = await stream.setup(stage)
    with pytest.raises(Refused) as refused:
        async with open_client(stage.server, "websocket", path, headers={"Origin": "https://evil.example"}):
            pass
    assert (refused.value.status, refused.value.problem["code"]) == (403, "cross-site")


# --- the end of a task ------------------------------------------------------------------------------


@every_transport
@pytest.mark.parametrize("name", TASKS)
async def test_a_stream_ends_with_its_task_and_a_reconnect_is_answered_204(
    stage: Stage, name: str, transport: str
) -> None:
    service = stage.tasks_of(SERVICES[name])
    task_id = await service.running()
    path = service.routes.events.format(id=task_id)
    async with open_client(stage.server, transport, path) as client:
        await client.take(1)
        await stage.tasks.complete(task_id, {"n": 1})
        [end] = await client.rest()
        assert end.data["status"] == "completed"
        assert client.is_over
        assert client.reason == "ended"
    again = await refusal(stage, transport, path, cursor=end.id)
    assert (again.status, again.problem) == (204, {})


@pytest.mark.parametrize("name", TASKS)
async def test_the_stream_of_an_ended_task_has_its_state_and_its_end(stage: Stage, name: str) -> None:
    service = stage.tasks_of(SERVICES[name])
    path = service.routes.events.format(id=await service.failed())
    wanted: list[StreamMessage] = []
    for transport in TRANSPORTS:
        async with open_client(stage.server, transport, path) as client:
            messages = await client.rest()
            assert messages == (wanted := wanted or messages), transport
            assert client.is_over
            cursor = client.cursor
        assert (await refusal(stage, transport, path, cursor=cursor)).status == 204
    assert len(wanted) >= 1


# --- what a client of a WebSocket may send -----------------------------------------------------------


@every_stream
async def test_a_socket_is_answered_and_its_topics_are_fixed(stage: Stage, stream: Stream) -> None:
    path, act = await stream.setup(stage)
    async with open_client(stage.server, "websocket", path) as client:
        assert isinstance(client, WebSocketClient)
        if stream.has_state:
            await client.take(1)

        async def ask(**fields: object) -> dict[str, Any]:
            await client.send(**fields)
            while (answer := await client.receive()).get("control") in (None, "cursor", "heartbeat"):
                pass
            return answer

        assert await ask(control="ping", nonce=7) == {"control": "pong", "nonce": 7}
        answer = await ask(control="publish", nonce=8, topic="b", data=1)
        assert answer == {"control": "published", "nonce": 8, "id": stage.server.streamd.head}
        if stream.rule != "/events":
            for name in ("subscribe", "unsubscribe"):
                answer = await ask(control=name, topics=["b"])
                assert (answer["control"], answer["code"]) == ("error", "forbidden")
        await act()
        assert (await client.take(1))[0].id


# --- HEAD -------------------------------------------------------------------------------------------


@every_stream
async def test_head_of_a_poll_answers_at_once(stage: Stage, stream: Stream) -> None:
    path, _ = await stream.setup(stage)
    url = httpx.URL(path)
    with trio.fail_after(10):
        answer = await stage.http.head(str(url.copy_with(path=f"{url.path}/poll")))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert "content-length" not in answer.headers
