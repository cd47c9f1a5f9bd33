"""Tickets, the cookie and revocations over HTTP, with clients that bring tokens."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from typing import Any

import attrs
import httpx
import pytest
import trio
from quart_trio import QuartTrio

from streamd import EventStream, Streamd
from streamd.client import Publisher, ReceivedEvent, RequestFailed, TaskClient, subscribe
from streamd.database import StoreSettings
from streamd.log.settings import LogSettings
from streamd.redis.settings import RedisSettings
from streamd.settings import Settings
from streamd.testing import StreamRefused, open_stream, run_server
from tests.support.api import Api, check_problem, serving_api
from tests.support.redis_servers import new_prefix, shared_server
from tests.support.tokens import OTHER_SECRET, SECRET, auth_settings, make_token

GRANTS: dict[str, Any] = {"publish": ["a"], "subscribe": ["a"], "tasks": "own"}


def token(**claims: Any) -> str:
    now = time.time()
    return make_token({"sub": "ada", "iat": now - 10, "exp": now + 3600, **GRANTS, **claims})


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def admin() -> dict[str, str]:
    return bearer(token(sub="root", admin=True))


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving_api(Settings(auth=auth_settings())) as api:
        yield api


async def test_a_ticket_stands_for_the_token_once(api: Api) -> None:
    answer = await api.http.post("/auth/ticket", headers=bearer(token()))
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    expires_at = datetime.fromisoformat(answer.json()["expires_at"])
    assert 25 < (expires_at - datetime.now(UTC)).total_seconds() <= 30
    ticket = answer.json()["ticket"]
    async with open_stream(api.server.url, topics=["a"], ticket=ticket):
        pass
    with pytest.raises(StreamRefused) as refused:
        async with open_stream(api.server.url, topics=["a"], ticket=ticket):
            pass
    assert refused.value.status == 401


async def test_the_cookie_has_the_token_and_every_guard(api: Api) -> None:
    text = token()
    answer = await api.http.post("/auth/cookie", headers=bearer(text))
    assert (answer.status_code, answer.headers["cache-control"]) == (204, "no-store")
    [(name, cookie)] = SimpleCookie(answer.headers["set-cookie"]).items()
    assert (name, cookie.value) == ("__Host-streamd", text)
    assert (cookie["path"], cookie["domain"], cookie["samesite"]) == ("/", "", "Strict")
    assert cookie["secure"]
    assert cookie["httponly"]
    assert cookie["expires"]
    sent = {"Cookie": f"{name}={text}"}
    polled = await api.http.get("/events/poll", params={"topic": "a", "wait": "0"}, headers=sent)
    assert polled.status_code == 200
    gone = await api.http.delete("/auth/cookie")
    [(name, cookie)] = SimpleCookie(gone.headers["set-cookie"]).items()
    assert (name, cookie.value, cookie["max-age"]) == ("__Host-streamd", "", "0")
    check_problem(await api.http.post("/auth/cookie", headers=sent), 403, "forbidden", "Origin")


async def test_a_server_without_a_cookie_says_so() -> None:
    async with serving_api(Settings(auth=auth_settings(cookie=""))) as api:
        check_problem(
            await api.http.post("/auth/cookie", headers=bearer(token())), 404, "not-found", "cookie"
        )
        check_problem(await api.http.delete("/auth/cookie"), 404, "not-found", "cookie")


@pytest.mark.parametrize(
    ("revocation", "claims"),
    [({"token_id": "t1"}, {"jti": "t1"}), ({"user": "ada"}, {}), ({"user": "ada"}, {"jti": "t1"})],
)
async def test_a_revocation_ends_open_streams_and_refuses_new_ones(
    api: Api, revocation: dict[str, str], claims: dict[str, str]
) -> None:
    text = token(**claims)
    async with (
        open_stream(api.server.url, topics=["a"], headers=bearer(text)) as stream,
        open_stream(api.server.url, topics=["a"], headers=bearer(token(sub="eve", jti="t2"))) as other,
    ):
        await stream.next_control("connected")
        ticket = (await api.http.post("/auth/ticket", headers=bearer(text))).json()["ticket"]
        answer = await api.http.post("/auth/revocations", json=revocation, headers=admin())
        assert answer.status_code == 201
        assert (await stream.next_control("closing"))["reason"] == "revoked"
        await api.server.streamd.publish("a", "still read")
        assert (await other.take(1))[0].data == "still read"
    for proof in ({"headers": bearer(text)}, {"ticket": ticket}):
        with pytest.raises(StreamRefused) as refused:
            async with open_stream(api.server.url, topics=["a"], **proof):
                pass
        assert refused.value.status == 401
    listed = (await api.http.get("/auth/revocations", headers=admin())).json()["revocations"]
    [(kind, name)] = revocation.items()
    assert [(each["kind"], each["name"]) for each in listed] == [(kind.removesuffix("_id"), name)]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "token_id"),
        ({"token_id": "a", "user": "b"}, "token_id"),
        ({"token_id": ""}, "token_id"),
        ({"user": "a\u202eb"}, "user"),
        ({"token_id": "a", "expires_at": 1e400}, "expires_at"),
    ],
)
async def test_a_revocation_names_one_thing(api: Api, body: dict[str, Any], field: str) -> None:
    content = httpx.Request("POST", api.server.url, content=_json(body)).content
    headers = {**admin(), "Content-Type": "application/json"}
    answer = await api.http.post("/auth/revocations", content=content, headers=headers)
    assert answer.status_code == 400
    assert answer.json().get("field", field) == field


def _json(body: dict[str, Any]) -> bytes:
    import json

    return json.dumps(body).replace("Infinity", "1e999").encode()


async def test_an_open_server_has_nothing_to_revoke() -> None:
    async with serving_api() as api:
        answer = await api.http.post("/auth/revocations", json={"user": "a"})
        check_problem(answer, 403, "forbidden")


async def test_nodes_share_tickets_and_revocations() -> None:
    settings = Settings(
        auth=auth_settings(),
        log=LogSettings(url=f"redis+unix://{shared_server().socket}"),
        store=StoreSettings(url=f"redis+unix://{shared_server().socket}"),
        redis=RedisSettings(prefix=new_prefix().strip("{}")),
    )
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(run_server(settings)) for _ in range(2)]
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=30))
        text = token(jti="t1")
        made = await http.post(f"{one.url}/auth/ticket", headers=bearer(text))
        ticket = made.json()["ticket"]
        async with open_stream(other.url, topics=["a"], ticket=ticket) as stream:
            await stream.next_control("connected")
            with pytest.raises(StreamRefused):
                async with open_stream(one.url, topics=["a"], ticket=ticket):
                    pass
            revoked = await http.post(f"{one.url}/auth/revocations", json={"token_id": "t1"}, headers=admin())
            assert revoked.status_code == 201
            with trio.fail_after(10):
                assert (await stream.next_control("closing"))["reason"] == "revoked"
        with pytest.raises(StreamRefused):
            async with open_stream(other.url, topics=["a"], headers=bearer(text)):
                pass


@pytest.mark.parametrize("transport", ["sse", "websocket", "poll"])
async def test_the_client_brings_its_token(api: Api, transport: Any) -> None:
    asked = 0

    async def fresh() -> str:
        nonlocal asked
        asked += 1
        await trio.lowlevel.checkpoint()
        return token()

    async with (
        Publisher(api.server.url, token=token()) as publisher,
        subscribe(api.server.url, topics=["a"], after="earliest", transport=transport, token=fresh) as reader,
    ):
        await publisher.publish("a", "hello")
        with trio.fail_after(20):
            async for item in reader:
                if isinstance(item, ReceivedEvent):
                    assert item.data == "hello"
                    break
    assert asked >= 1
    tasks = TaskClient(api.server.url, token=token())
    assert await tasks.list() == []
    with pytest.raises(RequestFailed) as refused:
        await TaskClient(api.server.url).list()
    assert refused.value.problem.status == 401


async def test_keys_are_rotated_by_a_reload(api: Api) -> None:
    streamd = api.server.streamd
    before = token()
    assert (await api.http.get("/tasks", headers=bearer(before))).status_code == 200
    auth = attrs.evolve(streamd.settings.auth, keys=[OTHER_SECRET, SECRET])
    streamd.apply_settings(attrs.evolve(streamd.settings, auth=auth))
    assert (await api.http.get("/tasks", headers=bearer(before))).status_code == 200
    after = make_token({"sub": "ada", "exp": time.time() + 60, **GRANTS}, OTHER_SECRET)
    assert (await api.http.get("/tasks", headers=bearer(after))).status_code == 200
    async with (
        open_stream(api.server.url, topics=["a"], headers=bearer(before)) as stream,
        open_stream(api.server.url, topics=["a"], headers=bearer(after)) as other,
    ):
        await other.next_control("connected")
        auth = attrs.evolve(auth, keys=[OTHER_SECRET])
        streamd.apply_settings(attrs.evolve(streamd.settings, auth=auth))
        with trio.fail_after(20):
            assert (await stream.next_control("closing"))["reason"] == "revoked"
        await streamd.publish("a", "still read")
        assert (await other.take(1))[0].data == "still read"
    assert (await api.http.get("/tasks", headers=bearer(before))).status_code == 401
    assert (await api.http.get("/tasks", headers=bearer(after))).status_code == 200


async def test_a_stream_of_a_program_s_own_view_outlives_a_revocation_of_its_user() -> None:
    app = QuartTrio("shop")
    streamd = Streamd(app, settings=Settings(auth=auth_settings()))

    @app.get("/inbox")
    async def inbox() -> EventStream:
        return EventStream("a", user="bob")

    async with serving_api(app=app) as api, open_stream(api.server.url, path="/inbox") as stream:
        await stream.next_control("connected")
        await streamd.runtime.revocations.revoke_user("bob")
        for connection in streamd.connections:
            streamd.runtime._end_if_revoked(connection)
        await streamd.publish("a", "still read")
        assert (await stream.take(1))[0].data == "still read"
