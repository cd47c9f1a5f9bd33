"""Events that clients publish over a WebSocket: the checks are those of ``POST /events``."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

from streamd.auth import Caller
from streamd.events import EventSettings
from streamd.limits import LimitSettings
from streamd.settings import Settings
from streamd.testing import RunningServer
from tests.support.access_rig import COOKIE, PUBLISHER, AccessRig, bearer, serving
from tests.support.api import serving_api

RATE = 0.001  # nothing is earned during a test


class Socket:
    """An open WebSocket of a publisher."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self.connection = connection

    async def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self.connection.get_message())
        return message

    async def ask(self, text: str) -> dict[str, Any]:
        """Send a message, and return the next one."""
        await self.connection.send_message(text)
        return await self.receive()

    async def publish(self, **fields: Any) -> dict[str, Any]:
        """Publish, and return the answer without its ``detail``."""
        answer = await self.ask(json.dumps({"control": "publish", **fields}))
        answer.pop("detail", None)
        return answer


@asynccontextmanager
async def open_socket(
    server: RunningServer, headers: dict[str, str] | None = None, **query: str
) -> AsyncIterator[Socket]:
    with trio.fail_after(30):
        tcp = await trio.open_tcp_stream(server.host, server.port)
        async with tcp, trio.open_nursery() as nursery:
            target = "/events?" + str(httpx.QueryParams({"topic": "quiet", **query}))
            sent = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
            host = f"{server.host}:{server.port}"
            connection = await wrap_client_stream(nursery, tcp, host, target, extra_headers=sent)
            socket = Socket(connection)
            assert (await socket.receive())["control"] == "connected"
            yield socket
            await connection.aclose()


async def test_an_event_is_answered_with_its_id_and_the_nonce(streamd_server: RunningServer) -> None:
    event = (
        '{"control":"publish","nonce":7,"topics":["a","b"],"type":"stage","retry":5,'
        '"data":{ "n": 1.0, "big":12345678901234567890 }}'
    )
    async with open_socket(streamd_server, topic="a") as socket:
        await socket.connection.send_message(event)
        texts = [await socket.connection.get_message() for _ in range(2)]
    [answer] = [json.loads(text) for text in texts if "published" in text]
    [published] = [text for text in texts if "published" not in text]
    assert answer == {"control": "published", "nonce": 7, "id": streamd_server.streamd.head}
    assert '"data":{"n":1.0,"big":12345678901234567890}' in published
    assert json.loads(published) == {
        "id": answer["id"],
        "type": "stage",
        "topics": ["a", "b"],
        "data": {"n": 1.0, "big": 12345678901234567890},
        "retry": 5,
    }


async def test_bytes_and_events_without_data_or_nonce_are_published(streamd_server: RunningServer) -> None:
    async with open_socket(streamd_server) as socket:
        answers = [
            await socket.publish(topic="a", data="AAE=", encoding="base64", nonce="é"),
            await socket.publish(topic="a"),
        ]
    assert [answer["nonce"] for answer in answers] == ["é", None]
    assert answers[1]["id"] == streamd_server.streamd.head


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({}, "invalid-field", "topic"),
        ({"topic": "a", "topics": ["b"]}, "invalid-field", "topic"),
        ({"topic": "a\n"}, "invalid-field", "topic"),
        ({"topic": "a", "type": "connected"}, "invalid-field", "type"),
        ({"topic": "a", "data": "?", "encoding": "base64"}, "invalid-field", "data"),
        ({"topic": "a", "data": "x" * 101}, "too-large", "data"),
        ({"topic": "tasks/1"}, "reserved-topic", "topic"),
    ],
)
async def test_an_invalid_event_is_refused_by_its_nonce_and_the_socket_stays_open(
    fields: dict[str, Any], code: str, field: str
) -> None:
    async with serving_api(Settings(events=EventSettings(max_event_bytes=100))) as api:
        as_request = (await api.http.post("/events", json=fields)).json()
        async with open_socket(api.server) as socket:
            refused = await socket.publish(nonce=1, **fields)
            assert refused == {"control": "error", "nonce": 1, "code": code, "field": field}
            assert (as_request["code"], as_request["field"]) == (code, field)
            assert (await socket.publish(nonce=2, topic="a"))["control"] == "published"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"control":"publish","nonce":1,"topic":"a","colour":"red"}', "colour"),
        ('{"control":"publish","nonce":1,"topic":5}', "topic"),
        ('{"control":"publish","nonce":{},"topic":"a"}', "nonce"),
        ('{"control":"publish","nonce":1,"topic":"a","data":{"x":1,"x":2}}', "data.x"),
        ('{"control":"publish","nonce":1,"topic":"a","data":1e400}', "data"),
        (f'{{"control":"publish","topic":"a","data":{"[" * 65}{"]" * 65}}}', "data"),
    ],
)
async def test_a_message_of_another_shape_is_refused_without_a_nonce(
    streamd_server: RunningServer, text: str, field: str
) -> None:
    async with open_socket(streamd_server) as socket:
        refused = await socket.ask(text)
        assert (refused["control"], refused["code"]) == ("error", "invalid-body")
        assert refused["field"] == field
        assert "nonce" not in refused
        deepest = f'{{"control":"publish","topic":"a","data":{"[" * 64}{"]" * 64}}}'
        assert (await socket.ask(deepest))["control"] == "published"


# --- rights -----------------------------------------------------------------------------------------


@pytest.fixture
async def rig() -> AsyncIterator[AccessRig]:
    async with serving(anonymous=True) as rig:
        yield rig


async def test_an_event_needs_a_grant(rig: AccessRig) -> None:
    async with open_socket(rig.server, bearer("publisher")) as socket:
        codes = [
            (await socket.publish(topic=topic)).get("code", "published")
            for topic in ("a", "b/1", "merchant:7:stage", "c", "tasks/1", "merchant:8:stage", "a")
        ]
    granted, forbidden, reserved = "published", "forbidden", "reserved-topic"
    assert codes == [granted, granted, granted, forbidden, reserved, reserved, granted]


async def test_a_reader_without_a_token_publishes_nothing(rig: AccessRig) -> None:
    head = rig.server.streamd.head
    async with open_socket(rig.server) as socket:
        assert (await socket.publish(topic="a"))["code"] == "unauthorized"
    assert rig.server.streamd.head == head


async def test_a_token_is_checked_again_for_each_event(rig: AccessRig) -> None:
    async with open_socket(rig.server, bearer("publisher")) as socket:
        assert (await socket.publish(topic="a"))["control"] == "published"
        rig.proofs.revoked.add("p")
        assert (await socket.publish(topic="a"))["code"] == "invalid-token"


async def test_a_ticket_changes_nothing(rig: AccessRig) -> None:
    head = rig.server.streamd.head
    rig.proofs.add_ticket("of-publisher", PUBLISHER)
    async with open_socket(rig.server, ticket="of-publisher") as socket:
        assert (await socket.publish(topic="a"))["code"] == "forbidden"
    assert rig.server.streamd.head == head
    async with open_socket(rig.server, bearer("publisher"), ticket="not asked for") as socket:
        assert (await socket.publish(topic="a"))["control"] == "published"


async def test_a_page_of_this_origin_publishes_by_its_cookie(rig: AccessRig) -> None:
    headers = {"Cookie": f"{COOKIE}=publisher", "Origin": rig.server.url}
    async with open_socket(rig.server, headers) as socket:
        assert (await socket.publish(topic="a"))["control"] == "published"


async def test_idempotency_keys_are_those_of_the_publisher_over_both_transports(rig: AccessRig) -> None:
    event = {"topic": "a", "data": 1, "idempotency_key": "k"}
    posted = await rig.http.post("/events", json=event, headers=bearer("publisher"))
    rig.proofs.add_token("other", Caller(user="q", grant=PUBLISHER.grant))
    async with open_socket(rig.server, bearer("publisher")) as socket:
        assert (await socket.publish(**event))["id"] == posted.json()["id"]
        assert (await socket.publish(**event | {"data": 2}))["code"] == "idempotency-conflict"
    async with open_socket(rig.server, bearer("other")) as socket:
        assert (await socket.publish(**event))["id"] > posted.json()["id"]


# --- limits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "burst", "published"), [("publish", 3, 3), ("events", 3, 3), ("bytes", 1000, 2)]
)
async def test_events_count_against_the_limits_of_requests(name: str, burst: int, published: int) -> None:
    limits = LimitSettings(**{f"{name}_per_second": RATE, f"{name}_burst": burst})  # type: ignore[arg-type]
    event = {"topic": "a", "data": "x" * 400}
    async with serving_api(Settings(limits=limits)) as api:
        assert (await api.http.post("/events", json=event)).status_code == 201
        async with open_socket(api.server) as socket:
            answers = [await socket.publish(**event, nonce=number) for number in range(published + 1)]
            head = api.server.streamd.head
            controls = [answer["control"] for answer in answers]
            assert controls == ["published"] * (published - 1) + ["error"] * 2
            assert answers[-1]["code"] == "too-many-requests"
            assert head == answers[published - 2]["id"]
        assert (await api.http.post("/events", json=event)).status_code == 429
