"""Access control over sockets: what callers publish, read and use, on each transport and route."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import pytest
import trio
from trio_websocket import ConnectionClosed, wrap_client_stream

from streamd.auth import Access, AuthSettings, Caller, Grant, TaskScope
from streamd.connections.settings import ConnectionSettings
from streamd.settings import Settings
from streamd.testing import RunningServer, StreamRefused, open_stream
from tests.support.api import check_problem, serving_api
from tests.support.callers import FakeProofs, selectors

PUBLISHER = Caller(user="p", grant=Grant(publish=selectors("a", "b/**", "merchant:7:**")))
READER = Caller(user="r", grant=Grant(subscribe=selectors("a")))
SHOP = Caller(user="s", merchant="7", grant=Grant(subscribe=selectors("a")))
ADMIN = Caller(user="root", grant=Grant(admin=True))
WORKER = Caller(user="w", grant=Grant(tasks=TaskScope.ALL))
ONE = Caller(user="one", grant=Grant(tasks=TaskScope.OWN))
TWO = Caller(user="two", grant=Grant(tasks=TaskScope.OWN))
CALLERS = {
    "publisher": PUBLISHER,
    "reader": READER,
    "shop": SHOP,
    "admin": ADMIN,
    "worker": WORKER,
    "one": ONE,
    "two": TWO,
}
COOKIE = "__Host-streamd"


@attrs.frozen
class Rig:
    server: RunningServer
    http: httpx.AsyncClient
    proofs: FakeProofs

    async def publish(self, *topics: str, private: bool = False, data: str = "") -> None:
        await self.server.streamd.publish(topics, data or " ".join(topics), private=private)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def serving(settings: Settings | None = None, *, anonymous: bool = False) -> AsyncIterator[Rig]:
    async with serving_api(settings) as api:
        proofs = FakeProofs(CALLERS, {"ticket": READER})
        runtime = api.server.streamd.runtime
        with_keys = AuthSettings(anonymous=anonymous, jwks_url="https://keys.test")
        access = Access(with_keys, proofs, proofs, proofs)
        access.reserved.add("sentiment/")
        runtime.access = access
        yield Rig(api.server, api.http, proofs)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with serving() as rig:
        yield rig


# --- publishing -------------------------------------------------------------------------------------


async def test_one_event_needs_a_grant(rig: Rig) -> None:
    async def post(token: str | None, body: object) -> httpx.Response:
        return await rig.http.post("/events", json=body, headers=bearer(token) if token else {})

    assert (await post("publisher", {"topic": "a"})).status_code == 201
    assert (await post("publisher", {"topics": ["a", "b/1", "merchant:7:stage"]})).status_code == 201
    check_problem(await post("publisher", {"topic": "c"}), 403, "forbidden", "topic")
    check_problem(await post("publisher", {"topic": "tasks/1"}), 403, "reserved-topic", "topic")
    check_problem(await post("publisher", {"topic": "merchant:8:stage"}), 403, "reserved-topic", "topic")
    check_problem(await post("admin", {"topic": "a"}), 403, "forbidden", "topic")
    check_problem(await post("unknown", {"topic": "a"}), 401, "invalid-token", "Authorization")
    refused = await post(None, {"topic": "a"})
    check_problem(refused, 401, "unauthorized", "Authorization")
    assert refused.headers["www-authenticate"] == "Bearer"


async def test_an_array_is_refused_as_a_whole(rig: Rig) -> None:
    head = rig.server.streamd.head
    events = [{"topic": "a"}, {"topic": "c"}]
    answer = await rig.http.post("/events", json=events, headers=bearer("publisher"))
    check_problem(answer, 403, "forbidden", "[1].topic")
    assert rig.server.streamd.head == head


async def test_lines_are_answered_one_by_one(rig: Rig) -> None:
    body = b'{"topic":"a"}\n{"topic":"c"}\n{"topic":"tasks/1"}\n{"topic":"b/2"}\n'
    headers = {"Content-Type": "application/x-ndjson", **bearer("publisher")}
    answer = await rig.http.post("/events", content=body, headers=headers)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    codes = [line["error"]["code"] if "error" in line else "published" for line in lines]
    assert codes == ["published", "forbidden", "reserved-topic", "published"]


async def test_a_body_that_lasts_ends_with_its_token(rig: Rig) -> None:
    async with open_stream(rig.server.url, topics=["a"], headers=bearer("reader")) as stream:

        async def lines() -> AsyncIterator[bytes]:
            yield b'{"topic":"a"}\n'
            await stream.take(1)
            rig.proofs.revoked.add("p")
            yield b'{"topic":"a"}\n'

        headers = {"Content-Type": "application/x-ndjson", **bearer("publisher")}
        answer = await rig.http.post("/events", content=lines(), headers=headers)
    published, refused = [json.loads(line) for line in answer.text.splitlines()]
    assert "id" in published
    assert refused["error"]["code"] == "invalid-token"


@pytest.mark.parametrize("publisher", ["tasks", "redis-bridge"])
async def test_no_user_has_the_keys_of_a_part_of_the_server(rig: Rig, publisher: str) -> None:
    rig.proofs.add_token("named", Caller(user=publisher, grant=PUBLISHER.grant))
    hub = rig.server.streamd.hub
    await hub.publish("tasks/t", "of the server", idempotency_key="t:1", publisher=publisher)
    body = {"topic": "a", "idempotency_key": "t:1"}
    assert (await rig.http.post("/events", json=body, headers=bearer("named"))).status_code == 201


async def test_idempotency_keys_belong_to_their_publisher(rig: Rig) -> None:
    for token, data in (("publisher", 1), ("publisher", 1)):
        body = {"topic": "a", "data": data, "idempotency_key": "k"}
        assert (await rig.http.post("/events", json=body, headers=bearer(token))).status_code == 201
    other = Caller(user="q", grant=PUBLISHER.grant)
    rig.proofs.add_token("other", other)
    body = {"topic": "a", "data": 2, "idempotency_key": "k"}
    assert (await rig.http.post("/events", json=body, headers=bearer("other"))).status_code == 201
    answer = await rig.http.post("/events", json=body, headers=bearer("publisher"))
    check_problem(answer, 409, "idempotency-conflict", "idempotency_key")


async def test_items_have_keys_of_their_user(rig: Rig) -> None:
    found = []
    for user in ("one", "other"):
        rig.proofs.add_token(user, Caller(user=user, grant=Grant(publish=selectors("sentiment/items"))))
        for text in ("good", "bad"):
            answer = await rig.http.post(
                "/api/v2/items",
                json={"items": [{"ticker": "AB", "text": f"{text} {user}"}]},
                headers={**bearer(user), "Idempotency-Key": "k"},
            )
            found.append((answer.status_code, *answer.json().get("item_ids", [])))
    assert [status for status, *_ in found] == [202, 409, 202, 409]
    assert found[0] != found[2]


# --- reading ----------------------------------------------------------------------------------------


async def test_a_stream_has_what_its_caller_may_read(rig: Rig) -> None:
    await rig.publish("a", data="kept")
    await rig.publish("x", data="kept secret")
    options: dict[str, Any] = {"patterns": ["*"], "last_event_id": "earliest"}
    async with open_stream(rig.server.url, headers=bearer("reader"), **options) as stream:
        assert (await stream.take(1))[0].data == "kept"
        await rig.publish("x", data="secret")
        await rig.publish("merchant:7:stage", data="of a merchant")
        await rig.publish("x", "a", private=True, data="by its second topic")
        assert [event.data for event in await stream.take(1)] == ["by its second topic"]
    async with open_stream(rig.server.url, headers=bearer("shop"), **options) as stream:
        data = [event.data for event in await stream.take(3)]
        assert data == ["kept", "of a merchant", "by its second topic"]
    async with open_stream(rig.server.url, headers=bearer("admin"), **options) as stream:
        assert len(await stream.take(5)) == 5


async def test_a_poll_has_what_its_caller_may_read(rig: Rig) -> None:
    for topics in (["x"], ["a"], ["merchant:8:stage"]):
        await rig.publish(*topics)
    query = {"pattern": "*", "after": "earliest", "wait": "0"}
    for token, expected in (("reader", ["a"]), ("admin", ["x", "a", "merchant:8:stage"])):
        answer = (await rig.http.get("/events/poll", params=query, headers=bearer(token))).json()
        assert [event["data"] for event in answer["events"]] == expected
        query_after = {**query, "after": answer["next"]}
        answer = (await rig.http.get("/events/poll", params=query_after, headers=bearer(token))).json()
        assert (answer["events"], answer["gap"]) == ([], None)
        assert answer["next"] == rig.server.streamd.head, "the cursor passes what may not be read"


async def test_anonymous_readers_get_what_is_not_private() -> None:
    async with serving(anonymous=True) as rig:
        await rig.publish("a", private=True)
        await rig.publish("b")
        await rig.publish("tasks/1")
        query = {"pattern": "*", "after": "earliest", "wait": "0"}
        answer = (await rig.http.get("/events/poll", params=query)).json()
        assert [event["data"] for event in answer["events"]] == ["b"]


async def test_anonymous_readers_end_with_the_setting() -> None:
    async with serving(anonymous=True) as rig:
        runtime = rig.server.streamd.runtime
        async with open_stream(rig.server.url, topics=["a"]) as stream:
            runtime.access.settings = attrs.evolve(runtime.access.settings, anonymous=False)
            runtime.revocations.apply_settings(AuthSettings(revoked_users=["z"]))  # looks at once
            assert (await stream.next_control("closing"))["reason"] == "revoked"


async def test_anonymous_readers_do_not_learn_which_task_ids_are_taken() -> None:
    async with serving(anonymous=True) as rig:
        await rig.server.streamd.tasks.create("k", id="taken", owner="one", worker="w")
        for task_id in ("taken", "free"):
            answer = await rig.http.get("/events/poll", params={"topic": f"tasks/{task_id}", "wait": "0"})
            check_problem(answer, 401, "unauthorized", "Authorization")


def as_selectors(query: dict[str, str]) -> dict[str, Any]:
    return {f"{name}s": [value] for name, value in query.items()}


@pytest.mark.parametrize(
    ("token", "query", "status"),
    [
        (None, {"topic": "a"}, 401),
        ("unknown", {"topic": "a"}, 401),
        ("publisher", {"topic": "a"}, 403),
        ("reader", {"topic": "merchant:7:stage"}, 403),
        ("shop", {"pattern": "merchant:8:*"}, 403),
        ("one", {"topic": "tasks/missing"}, 404),
    ],
)
async def test_a_subscription_is_refused_before_its_head(
    rig: Rig, token: str | None, query: dict[str, str], status: int
) -> None:
    headers = bearer(token) if token else {}
    with pytest.raises(StreamRefused) as refused:
        async with open_stream(rig.server.url, headers=headers, **as_selectors(query)):
            pass
    assert refused.value.status == status
    answer = await rig.http.get("/events/poll", params={**query, "wait": "0"}, headers=headers)
    assert answer.status_code == status
    answer = await rig.http.get("/events", params=query, headers={**UPGRADE, **headers})
    assert answer.status_code == status


# --- WebSocket, tickets, cookies ----------------------------------------------------------------------


@asynccontextmanager
async def open_socket(
    rig: Rig, query: dict[str, str], headers: dict[str, str] | None = None
) -> AsyncIterator[Any]:
    tcp = await trio.open_tcp_stream(rig.server.host, rig.server.port)
    host = f"{rig.server.host}:{rig.server.port}"
    async with tcp, trio.open_nursery() as nursery:
        target = "/events?" + str(httpx.QueryParams(query))
        sent = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        socket = await wrap_client_stream(nursery, tcp, host, target, extra_headers=sent)
        assert json.loads(await socket.get_message())["control"] == "connected"
        yield socket
        await socket.aclose()


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def test_a_socket_subscribes_to_what_its_caller_may_name(rig: Rig) -> None:
    await rig.server.streamd.tasks.create("k", id="mine", owner="one", worker="w")
    await rig.server.streamd.tasks.create("k", id="other", owner="two", worker="w")
    async with open_socket(rig, {"topic": "tasks/mine"}, bearer("one")) as socket:

        async def subscribe(topic: str) -> dict[str, Any]:
            await socket.send_message(json.dumps({"control": "subscribe", "topics": [topic]}))
            answer: dict[str, Any] = json.loads(await socket.get_message())
            return answer

        assert (await subscribe("tasks/other"))["code"] == "not-found"
        assert (await subscribe("merchant:7:stage"))["code"] == "forbidden"
        assert (await subscribe("x"))["control"] == "subscribed"
        await rig.publish("x", data="not granted")
        await rig.server.streamd.tasks.create("k", id="third", owner="one", worker="w")
        assert (await subscribe("tasks/third"))["control"] == "subscribed"
        await rig.server.streamd.tasks.cancel("third")
        assert json.loads(await socket.get_message())["topics"] == ["tasks/third"]


async def test_a_ticket_opens_one_stream(rig: Rig) -> None:
    async with open_socket(rig, {"topic": "a", "ticket": "ticket"}):
        pass
    with pytest.raises(StreamRefused) as refused:
        async with open_stream(rig.server.url, topics=["a"], ticket="ticket"):
            pass
    assert refused.value.status == 401


async def test_a_cookie_counts_for_pages_of_this_origin(rig: Rig) -> None:
    cookie = {"Cookie": f"other=1; {COOKIE}=publisher"}
    own = {"Origin": rig.server.url}

    async def post(**headers: str) -> int:
        answer = await rig.http.post("/events", json={"topic": "a"}, headers={**cookie, **headers})
        return answer.status_code

    assert await post(**own) == 201
    assert await post(**{"Sec-Fetch-Site": "same-origin"}) == 201
    assert await post() == 403
    assert await post(Origin="https://evil.example") == 403
    assert await post(Origin="null") == 403
    two = [*cookie.items(), ("Origin", "https://evil.example"), ("Origin", rig.server.url)]
    assert (await rig.http.post("/events", json={"topic": "a"}, headers=two)).status_code == 403
    assert await post(**own, **bearer("reader")) == 403, "the header comes first"
    reads = {"Cookie": f"{COOKIE}=reader"}
    async with open_stream(rig.server.url, topics=["a"], headers=reads):
        pass
    async with open_socket(rig, {"topic": "a"}, {**reads, **own}):
        pass
    answer = await rig.http.get("/events", params={"topic": "a"}, headers={**UPGRADE, **reads})
    assert answer.status_code == 403
    twice = {"Cookie": f"{COOKIE}=reader; {COOKIE}=publisher"}
    with pytest.raises(StreamRefused) as refused:
        async with open_stream(rig.server.url, topics=["a"], headers=twice):
            pass
    assert refused.value.status == 401


@pytest.mark.parametrize("header", ["Basic cmVhZGVy", "Bearer", "reader", ""])
async def test_another_authorization_is_no_token(rig: Rig, header: str) -> None:
    answer = await rig.http.get("/tasks", headers={"Authorization": header})
    check_problem(answer, 401, "invalid-token", "Authorization")
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


# --- the end of a token -------------------------------------------------------------------------------


async def test_a_stream_is_told_of_the_end_of_its_token_and_ends_with_it() -> None:
    settings = Settings(connections=ConnectionSettings(sweep_seconds=0.02, token_notice_seconds=0.3))
    async with serving(settings) as rig:
        rig.proofs.add_token("short", attrs.evolve(READER, expires_at=time.time() + 0.5))
        async with open_stream(rig.server.url, topics=["a"], headers=bearer("short")) as stream:
            notice = await stream.next_control("token-expiring")
            assert 0 < float(str(notice["expires_in_seconds"])) <= 0.3
            assert (await stream.next_control("closing"))["reason"] == "expired"
            assert await stream.next_block() is None
        rig.proofs.add_token("short", attrs.evolve(READER, expires_at=time.time() + 0.1))
        async with open_socket(rig, {"topic": "a"}, bearer("short")) as socket:
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    await socket.get_message()
            assert closed.value.reason is not None
            assert closed.value.reason.code == 4003


# --- tasks, services, administration ------------------------------------------------------------------


async def test_tasks_are_there_for_their_owners(rig: Rig) -> None:
    async def ask(token: str, method: str, path: str, **body: Any) -> httpx.Response:
        sent = {"json": body} if body or method in ("POST", "PATCH") else {}
        return await rig.http.request(method, path, headers=bearer(token), **sent)  # type: ignore[arg-type]

    created = await ask("one", "POST", "/tasks", kind="k", id="t", worker="w")
    assert (created.status_code, created.json()["owner"]) == (201, "one")
    for path in ("/tasks/t", "/tasks/t/result", "/tasks/t/events"):
        check_problem(await ask("two", "GET", path), 404, "not-found", "id")
    check_problem(await ask("two", "POST", "/tasks/t/cancel"), 404, "not-found", "id")
    lease = created.json()["lease"]
    check_problem(await ask("two", "PATCH", "/tasks/t", lease=lease, progress=5), 404, "not-found", "id")
    assert (await ask("one", "PATCH", "/tasks/t", lease=lease, progress=5)).status_code == 200
    assert (await ask("worker", "GET", "/tasks/t")).json()["progress"] == 5
    for token, ids in (("one", ["t"]), ("two", []), ("worker", ["t"]), ("admin", ["t"])):
        listed = (await ask(token, "GET", "/tasks")).json()["tasks"]
        assert [task["id"] for task in listed] == ids, token
    check_problem(await ask("two", "GET", "/tasks?owner=one"), 403, "forbidden", "owner")
    check_problem(await ask("one", "POST", "/tasks", kind="k", owner="two"), 403, "forbidden", "owner")
    check_problem(
        await ask("one", "POST", "/tasks/claim", kinds=["k"], worker="w"), 403, "forbidden", "Authorization"
    )
    check_problem(await ask("reader", "POST", "/tasks", kind="k"), 403, "forbidden", "Authorization")
    assert (await ask("one", "POST", "/tasks/t/cancel")).json()["cancelled"]


async def test_a_task_of_others_looks_like_none(rig: Rig) -> None:
    await rig.server.streamd.tasks.create("k", id="t", owner="one", worker="w")
    for path in ("/tasks/{}", "/tasks/{}/result", "/tasks/{}/events", "/events/poll?topic=tasks/{}"):
        of_one, missing = [
            (await rig.http.get(path.format(task_id), headers=bearer("two"))).content
            for task_id in ("t", "u")
        ]
        assert of_one == missing


async def test_an_order_is_there_for_its_merchant(rig: Rig) -> None:
    order = b"sku,quantity,price\nA-1,2,3.50\n"

    async def post(token: str, query: str = "") -> httpx.Response:
        headers = {"Content-Type": "text/csv", **bearer(token)}
        return await rig.http.post(f"/api/purchase-orders{query}", content=order, headers=headers)

    accepted = await post("shop")
    assert accepted.status_code == 202, accepted.text
    url = accepted.json()["statusUrl"]
    assert (await rig.http.get(url, headers=bearer("shop"))).status_code == 200
    for token in ("one", "worker", "reader"):
        assert (await rig.http.get(f"{url}?merchantId=7", headers=bearer(token))).status_code == 403
        assert (await post(token, "?merchantId=7")).status_code == 403
    assert (await post("shop", "?merchantId=8")).status_code == 403
    assert (await rig.http.get(f"{url}?merchantId=7", headers=bearer("admin"))).status_code == 200
    assert (await rig.http.get(url)).status_code == 401
    events = "/api/realtime/events?last_event_id=earliest&merchantId={}"
    assert (await rig.http.get(events.format(8), headers=bearer("shop"))).status_code == 403
    task_id = accepted.json()["workflowId"]
    assert (await rig.http.get(f"/tasks/{task_id}", headers=bearer("one"))).status_code == 404
    assert (await rig.http.get(f"/tasks/{task_id}", headers=bearer("shop"))).status_code == 200


async def test_administration_is_for_administrators(rig: Rig) -> None:
    for path in ("/connections", "/connections/x", "/metrics"):
        for token, status in ((None, 401), ("worker", 403)):
            answer = await rig.http.get(path, headers=bearer(token) if token else {})
            assert answer.status_code == status, path
    assert (await rig.http.get("/metrics", headers=bearer("admin"))).status_code == 200
    async with open_stream(rig.server.url, topics=["a"], headers=bearer("reader")):
        listed = (await rig.http.get("/connections", headers=bearer("admin"))).json()
        [found] = listed["connections"]
        assert found["user"] == "r"
        path = f"/connections/{found['id']}"
        params = {"user": "r"}
        refused = await rig.http.delete(path, params=params, headers=bearer("worker"))
        assert refused.status_code == 403
        closed = await rig.http.delete(path, params=params, headers=bearer("admin"))
        assert closed.status_code == 204
    for path in ("/health/live", "/health/ready"):
        assert (await rig.http.get(path)).status_code == 200


async def test_reserved_topics_are_reserved_on_an_open_server() -> None:
    async with serving_api() as api:
        for topic in ("tasks/1", "merchant:7:stage", "sentiment/items"):
            answer = await api.http.post("/events", json={"topic": topic})
            check_problem(answer, 403, "reserved-topic", "topic")
        assert (await api.http.post("/events", json={"topic": "taskss/1"})).status_code == 201
        async with open_stream(api.server.url, patterns=["merchant:*:*"]) as stream:
            await api.server.streamd.publish("merchant:7:stage", "by its owner")
            assert (await stream.take(1))[0].data == "by its owner"
