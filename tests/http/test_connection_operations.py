"""``/connections/{id}``: state, send, broadcast and close over HTTP, on every transport."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import attrs
import httpx
import pytest

from streamd import EventStream, create_app
from streamd.connections.settings import ConnectionSettings, PollSettings
from streamd.events import UnloggedEvent
from streamd.events.control import RESERVED_TYPES
from streamd.events.settings import EventSettings
from streamd.hub.settings import HubSettings
from streamd.log.memory import MemoryLog
from streamd.log.port import Page
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import open_stream, run_server
from tests.support.api import Api, check_problem, serving_api
from tests.support.plain import NO_SERVICES
from tests.support.receivers import RECEIVERS, TRANSPORTS, receiving
from tests.support.waiting import until

SETTINGS = Settings(
    connections=ConnectionSettings(control=True),
    events=EventSettings(max_event_bytes=1000, max_line_bytes=5000),
    hub=HubSettings(send_queue_events=4),
    **NO_SERVICES,
)
on_each_transport = pytest.mark.parametrize("kind", RECEIVERS)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving_api(SETTINGS) as api:
        yield api


@on_each_transport
async def test_the_state_is_found_by_connection_id_and_by_client_id(api: Api, kind: str) -> None:
    async with receiving(api.server, kind, client_id="my tab-7") as (_, connection):
        for id in (connection.id, "my%20tab%2D7"):
            answer = await api.http.get(f"/connections/{id}")
            assert answer.status_code == 200
            state = answer.json()
            assert (state["id"], state["client_id"]) == (connection.id, "my tab-7")
            assert state["transport"] == TRANSPORTS[kind]
            assert state["topics"] == ["a"]
        listed = (await api.http.get("/connections", params={"id": connection.id})).json()
        assert [entry["id"] for entry in listed["connections"]] == [connection.id]


@on_each_transport
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"data": {"text": "hello"}, "type": "notice"}, ("notice", {"text": "hello"})),
        ({"data": ["1.50", 1.5, None], "type": "a b"}, ("a b", ["1.50", 1.5, None])),
        ({"data": 7, "type": "error"}, ("error", 7)),
    ],
)
async def test_a_message_reaches_one_client_without_an_id(
    api: Api, kind: str, body: dict[str, Any], message: tuple[str, Any]
) -> None:
    async with receiving(api.server, kind, client_id="me") as (receiver, connection):
        async with receiving(api.server, kind, client_id="other") as (_, other):
            answer = await api.http.post("/connections/me/send", json=body)
            assert (answer.status_code, answer.json()) == (202, {"id": connection.id})
            assert await receiver.message() == message
            assert other.send_queue.waiting == 0
            assert other.sent.events == 0


@pytest.mark.parametrize("kind", ["WebSocket", "poll"])
async def test_a_text_has_the_default_type(api: Api, kind: str) -> None:
    async with receiving(api.server, kind) as (receiver, connection):
        await api.http.post(f"/connections/{connection.id}/send", json={"data": "two\nlines"})
        assert await receiver.message() == ("message", "two\nlines")


async def test_a_text_over_sse_has_the_default_type_and_leaves_the_last_event_id(api: Api) -> None:
    async with open_stream(api.server.url, topics=["a"], client_id="me") as reader:
        id = await api.server.streamd.publish("a", "an event")
        await api.http.post("/connections/me/send", json={"data": "two\nlines"})
        [event, message] = await reader.take(2)
        assert (event.last_event_id, event.has_id) == (id, True)
        assert (message.type, message.data) == ("message", "two\nlines")
        assert (message.last_event_id, message.has_id) == (id, False)


async def test_messages_keep_their_order_among_events_and_do_not_move_the_cursor(api: Api) -> None:
    async with receiving(api.server, "WebSocket") as (receiver, connection):
        path = f"/connections/{connection.id}/send"
        await api.server.streamd.publish("a", "first")
        await api.http.post(path, json={"data": 1})
        await api.server.streamd.publish("a", "second")
        await api.http.post(path, json={"data": 2})
        assert [await receiver.message() for _ in range(2)] == [("message", 1), ("message", 2)]
        assert connection.sent.events == 2


@on_each_transport
async def test_a_closed_client_is_told_and_gone(api: Api, kind: str) -> None:
    async with receiving(api.server, kind, client_id="me") as (receiver, connection):
        answer = await api.http.delete(f"/connections/{connection.id}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert await receiver.closing() == {"reason": "closed"}
        await until(lambda: api.server.streamd.connections.get(connection.id) is None)
        check_problem(await api.http.get("/connections/me"), 404, "not-found", "id")


@pytest.mark.parametrize("kind", ["HTTP/1.1", "HTTP/2", "WebSocket"])
async def test_a_full_send_queue_is_503_and_then_a_closing_connection_409(kind: str) -> None:
    settings = attrs.evolve(SETTINGS, events=EventSettings(), server=ServerSettings(send_buffer_bytes=4096))
    async with run_server(settings) as server, httpx.AsyncClient(base_url=server.url) as http:
        async with receiving(server, kind, small=True) as (_, connection):  # which reads no more
            path = f"/connections/{connection.id}"
            statuses: list[int] = []
            while not statuses or statuses[-1] == 202:
                answer = await http.post(f"{path}/send", json={"data": "x" * 100_000})
                statuses.append(answer.status_code)
            check_problem(answer, 503, "send-queue-full", None)
            assert answer.headers["retry-after"] == "5"
            outcome = await http.post("/connections/broadcast", json={"data": 1})
            assert outcome.json() == {"sent": 0, "full": 1}
            assert (await http.delete(path)).status_code == 204
            check_problem(await http.post(f"{path}/send", json={"data": 1}), 409, "connection-closing", "id")
            outcome = await http.post("/connections/broadcast", json={"data": 1})
            assert outcome.json() == {"sent": 0, "full": 0}
            assert (await http.delete(path)).status_code == 204  # again, without effect


async def test_a_broadcast_reaches_the_selected_clients_of_all_transports(api: Api) -> None:
    async with AsyncExitStack() as stack:
        receivers = {}
        for kind in RECEIVERS:
            receivers[kind], _ = await stack.enter_async_context(receiving(api.server, kind, client_id=kind))
        body = {"data": {"n": 1}, "type": "notice", "filter": {"topic": "a", "transport": "sse"}}
        answer = await api.http.post("/connections/broadcast", json=body)
        assert (answer.status_code, answer.json()) == (200, {"sent": 2, "full": 0})
        body = {"data": {"n": 2}, "type": "notice"}
        answer = await api.http.post("/connections/broadcast", json=body)
        assert answer.json() == {"sent": 4, "full": 0}
        for kind, receiver in receivers.items():
            expected = [1, 2] if TRANSPORTS[kind] == "sse" else [2]
            for number in expected:
                assert await receiver.message() == ("notice", {"n": number})


@pytest.mark.parametrize(
    ("filter", "sent"),
    [
        ({"topic": "b"}, 0),
        ({"pattern": "a"}, 1),
        ({"pattern": "*"}, 1),
        ({"user": ""}, 1),
        ({"user": "ann"}, 0),
        ({"client_id": "me"}, 1),
        ({"client_id": "me", "transport": "poll"}, 0),
        ({}, 1),
    ],
)
async def test_a_broadcast_applies_every_condition(api: Api, filter: dict[str, str], sent: int) -> None:
    async with receiving(api.server, "HTTP/1.1", client_id="me"):
        answer = await api.http.post("/connections/broadcast", json={"data": 1, "filter": filter})
        assert answer.json() == {"sent": sent, "full": 0}


@pytest.mark.parametrize("path", ["/connections/broadcast", "/connections/me/send"])
@pytest.mark.parametrize("name", sorted(RESERVED_TYPES))
async def test_names_of_control_frames_are_refused(api: Api, path: str, name: str) -> None:
    async with receiving(api.server, "HTTP/1.1", client_id="me") as (_, connection):
        answer = await api.http.post(path, json={"data": {"reason": "forged"}, "type": name})
        check_problem(answer, 400, "invalid-field", "type")
        assert connection.send_queue.waiting == 0


@pytest.mark.parametrize("path", ["/connections/broadcast", "/connections/me/send"])
@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"{}", 400, "invalid-body", "data"),
        (b"[]", 400, "invalid-body", None),
        (b"{", 400, "invalid-body", None),
        (b'{"data": 1, "topic": "a"}', 400, "invalid-body", "topic"),
        (b'{"data": 1, "type": 7}', 400, "invalid-body", "type"),
        (b'{"data": 1, "type": "a\\nb"}', 400, "invalid-field", "type"),
        (b'{"data": "%b"}' % (b"x" * 1100), 413, "too-large", "data"),
        (b'{"data": "%b"}' % (b"x" * 6000), 413, "too-large", "body"),
    ],
)
async def test_invalid_messages_are_refused_by_field(
    api: Api, path: str, body: bytes, status: int, code: str, field: str | None
) -> None:
    async with receiving(api.server, "HTTP/1.1", client_id="me"):
        answer = await api.http.post(path, content=body, headers={"Content-Type": "application/json"})
        check_problem(answer, status, code, field)


@pytest.mark.parametrize(
    ("filter", "code", "field"),
    [
        ({"transports": "sse"}, "invalid-body", "filter.transports"),
        ({"transport": "carrier pigeon"}, "invalid-body", "filter.transport"),
        ({"topic": ""}, "invalid-field", "filter.topic"),
        ({"topic": "x" * 2000}, "invalid-field", "filter.topic"),
        ({"pattern": "**/a"}, "invalid-field", "filter.pattern"),
        ({"pattern": "a\nb"}, "invalid-field", "filter.pattern"),
        ({"client_id": 7}, "invalid-body", "filter.client_id"),
        (None, "invalid-body", "filter"),
    ],
)
async def test_an_invalid_filter_is_refused_and_nothing_is_sent(
    api: Api, filter: dict[str, Any] | None, code: str, field: str
) -> None:
    async with receiving(api.server, "HTTP/1.1") as (_, connection):
        answer = await api.http.post("/connections/broadcast", json={"data": 1, "filter": filter})
        check_problem(answer, 400, code, field)
        assert connection.send_queue.waiting == 0


async def test_unknown_connections_are_not_found(api: Api) -> None:
    for method, path in (
        ("GET", "/connections/nobody"),
        ("DELETE", "/connections/nobody"),
        ("POST", "/connections/nobody/send"),
    ):
        body = b'{"data": 1}' if method == "POST" else None
        headers = {"Content-Type": "application/json"}
        answer = await api.http.request(method, path, content=body, headers=headers)
        check_problem(answer, 404, "not-found", "id")


@pytest.mark.parametrize(
    "path", ["/connections/%2Fann", "/connections//ann", "/connections/%2Fann/send", "/connections/ann/7"]
)
@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
async def test_a_path_with_a_slash_in_the_id_is_not_found_and_leads_to_no_other_client(
    api: Api, method: str, path: str
) -> None:
    async with (
        receiving(api.server, "HTTP/1.1", client_id="ann") as (_, connection),
        receiving(api.server, "HTTP/1.1", client_id="ann/7") as (_, other),
    ):
        check_problem(await api.http.request(method, path), 404, "not-found", None)
        assert connection.is_open
        found = await api.http.get(f"/connections/{other.id}")
        assert found.json()["client_id"] == "ann/7"


async def test_no_path_is_redirected_to_one_with_fewer_slashes(api: Api) -> None:
    for path in ("/tasks/%2Fa", "/tasks//a", "/tasks/%2Fa/events"):
        check_problem(await api.http.get(f"{api.server.url}{path}"), 404, "not-found", None)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/connections/me/send", {"POST", "OPTIONS"}),
        ("DELETE", "/connections/me/send", {"POST", "OPTIONS"}),
        ("POST", "/connections/me", {"GET", "HEAD", "DELETE", "OPTIONS"}),
        ("PUT", "/connections/broadcast", {"GET", "HEAD", "DELETE", "POST", "OPTIONS"}),
    ],
)
async def test_a_method_without_an_operation_is_405(
    api: Api, method: str, path: str, allowed: set[str]
) -> None:
    answer = await api.http.request(method, path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == allowed


async def test_a_client_id_of_a_user_is_addressed_with_the_user() -> None:
    app = create_app(SETTINGS)

    @app.get("/private")
    async def private() -> EventStream:
        return EventStream("a", client_id="tab", user="ann")

    async with run_server(SETTINGS, app=app) as server, httpx.AsyncClient(base_url=server.url) as http:
        async with open_stream(server.url, path="/private") as reader:
            connected = await reader.next_control("connected")
            assert "resume_secret" not in connected
            check_problem(await http.get("/connections/tab"), 404, "not-found", "id")
            found = await http.get("/connections/tab", params={"user": "ann"})
            assert found.json()["id"] == connected["connection_id"]
            assert (await http.post("/connections/tab/send?user=ann", json={"data": 1})).status_code == 202
            assert [message.data for message in await reader.take(1)] == ["1"]
            assert (await http.delete("/connections/tab?user=ann")).status_code == 204
            assert await reader.next_control("closing") == {"reason": "closed"}


class InterruptedLog(MemoryLog):
    """A log whose pages take so long to read that something happens meanwhile."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    async def read(self, *arguments: Any, **limits: Any) -> Page:
        page = await super().read(*arguments, **limits)
        self.meanwhile()
        return page


async def test_a_poll_answers_with_a_message_that_comes_while_it_reads_a_full_page() -> None:
    settings = attrs.evolve(
        SETTINGS,
        poll=PollSettings(max_events=2),
        hub=HubSettings(batch_events=3, ring_events=3),  # so that a poll reads the log itself
    )
    log = InterruptedLog(settings.log)
    async with run_server(settings, app=create_app(settings, log=log)) as server:
        ids = [await server.streamd.publish("a", str(n)) for n in range(9)]
        hub = server.streamd.hub
        await until(lambda: hub.statistics()["ahead"] == 0)
        message = UnloggedEvent("kept")
        log.meanwhile = lambda: server.streamd.connections.send("me", message)
        async with httpx.AsyncClient(base_url=server.url) as http:
            answer = (await http.get("/events/poll?topic=a&after=earliest&client_id=me")).json()
        assert [event["data"] for event in answer["events"]] == ["0", "1"]
        assert answer["next"] == ids[1]
        assert answer["control"] == [{"control": "message", "type": "message", "data": "kept"}]
