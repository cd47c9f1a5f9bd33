"""Access to events over sockets: what callers publish and read, on each transport."""

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

from streamd.auth import AuthSettings, Caller, Grant
from streamd.connections.settings import ConnectionSettings
from streamd.settings import Settings
from streamd.testing import StreamRefused, open_stream
from tests.support.access_rig import (
    COOKIE,
    PUBLISHER,
    READER,
    AccessRig,
    bearer,
    serving,
)
from tests.support.api import check_problem
from tests.support.callers import selectors


@pytest.fixture
async def rig() -> AsyncIterator[AccessRig]:
    async with serving() as rig:
        yield rig


# --- publishing -------------------------------------------------------------------------------------


async def test_one_event_needs_a_grant(rig: AccessRig) -> None:
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


async def test_an_array_is_refused_as_a_whole(rig: AccessRig) -> None:
    head = rig.server.streamd.head
    events = [{"topic": "a"}, {"topic": "c"}]
    answer = await rig.http.post("/events", json=events, headers=bearer("publisher"))
    check_problem(answer, 403, "forbidden", "[1].topic")
    assert rig.server.streamd.head == head


async def test_lines_are_answered_one_by_one(rig: AccessRig) -> None:
    body = b'{"topic":"a"}\n{"topic":"c"}\n{"topic":"tasks/1"}\n{"topic":"b/2"}\n'
    headers = {"Content-Type": "application/x-ndjson", **bearer("publisher")}
    answer = await rig.http.post("/events", content=body, headers=headers)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    codes = [line["error"]["code"] if "error" in line else "published" for line in lines]
    assert codes == ["published", "forbidden", "reserved-topic", "published"]


async def test_a_body_that_lasts_ends_with_its_token(rig: AccessRig) -> None:
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
async def test_no_user_has_the_keys_of_a_part_of_the_server(rig: AccessRig, publisher: str) -> None:
    rig.proofs.add_token("named", Caller(user=publisher, grant=PUBLISHER.grant))
    hub = rig.server.streamd.hub
    await hub.publish("tasks/t", "of the server", idempotency_key="t:1", publisher=publisher)
    body = {"topic": "a", "idempotency_key": "t:1"}
    assert (await rig.http.post("/events", json=body, headers=bearer("named"))).status_code == 201


async def test_idempotency_keys_belong_to_their_publisher(rig: AccessRig) -> None:
    for token, data in (("publisher", 1), ("publisher", 1)):
        body = {"topic": "a", "data": data, "idempotency_key": "k"}
        assert (await rig.http.post("/events", json=body, headers=bearer(token))).status_code == 201
    other = Caller(user="q", grant=PUBLISHER.grant)
    rig.proofs.add_token("other", other)
    body = {"topic": "a", "data": 2, "idempotency_key": "k"}
    assert (await rig.http.post("/events", json=body, headers=bearer("other"))).status_code == 201
    answer = await rig.http.post("/events", json=body, headers=bearer("publisher"))
    check_problem(answer, 409, "idempotency-conflict", "idempotency_key")


async def test_items_have_keys_of_their_user(rig: AccessRig) -> None:
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


async def test_a_stream_has_what_its_caller_may_read(rig: AccessRig) -> None:
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


async def test_a_poll_has_what_its_caller_may_read(rig: AccessRig) -> None:
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
    rig: AccessRig, token: str | None, query: dict[str, str], status: int
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
    rig: AccessRig, query: dict[str, str], headers: dict[str, str] | None = None
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


async def test_a_socket_subscribes_to_what_its_caller_may_name(rig: AccessRig) -> None:
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


async def test_a_ticket_opens_one_stream(rig: AccessRig) -> None:
    async with open_socket(rig, {"topic": "a", "ticket": "ticket"}):
        pass
    with pytest.raises(StreamRefused) as refused:
        async with open_stream(rig.server.url, topics=["a"], ticket="ticket"):
            pass
    assert refused.value.status == 401


async def test_a_cookie_counts_for_pages_of_this_origin(rig: AccessRig) -> None:
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
async def test_another_authorization_is_no_token(rig: AccessRig, header: str) -> None:
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
