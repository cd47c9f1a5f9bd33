"""The WebSocket: events as JSON, and a client that changes its subscription."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection, wrap_client_stream

from streamd.connections.settings import ConnectionSettings
from streamd.settings import Settings
from streamd.testing import RunningServer, run_server


class Socket:
    def __init__(self, connection: WebSocketConnection) -> None:
        self.connection = connection
        self.connected: dict[str, Any] = {}

    async def send(self, **fields: object) -> None:
        await self.connection.send_message(json.dumps(fields))

    async def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self.connection.get_message())
        return message


@asynccontextmanager
async def open_socket(server: RunningServer, query: str) -> AsyncIterator[Socket]:
    with trio.fail_after(30):
        tcp = await trio.open_tcp_stream(server.host, server.port)
        async with tcp, trio.open_nursery() as nursery:
            connection = await wrap_client_stream(nursery, tcp, server.host, f"/events?{query}")
            socket = Socket(connection)
            socket.connected = await socket.receive()
            assert socket.connected["control"] == "connected"
            yield socket
            await connection.aclose()


async def test_events_are_json_and_a_client_resumes(streamd_server: RunningServer) -> None:
    publish = streamd_server.streamd.publish
    first = await publish(["a", "b"], {"n": 1.50}, type="stage")
    second = await publish("a", "text", retry_ms=5)
    async with open_socket(streamd_server, "topic=a&last_event_id=earliest") as socket:
        assert await socket.receive() == {
            "id": first,
            "type": "stage",
            "topics": ["a", "b"],
            "data": {"n": 1.5},
        }
    async with open_socket(streamd_server, f"topic=a&last_event_id={first}") as socket:
        assert await socket.receive() == {
            "id": second,
            "type": "message",
            "topics": ["a"],
            "data": "text",
            "retry": 5,
        }


async def test_a_client_pings_subscribes_and_unsubscribes(streamd_server: RunningServer) -> None:
    publish = streamd_server.streamd.publish
    async with open_socket(streamd_server, "topic=a") as socket:
        await socket.send(control="ping", nonce=7)
        assert await socket.receive() == {"control": "pong", "nonce": 7}

        head = await publish("b/1", "not yet")
        await socket.send(control="subscribe", topics=["c"], patterns=["b/*"])
        answer = await socket.receive()
        assert answer == {"control": "subscribed", "topics": ["a", "c"], "patterns": ["b/*"], "cursor": head}
        for topic in ("a", "b/2", "c"):
            await publish(topic, topic)
            assert (await socket.receive())["data"] == topic

        await socket.send(control="unsubscribe", topics=["a"], patterns=["b/*"])
        assert (await socket.receive())["topics"] == ["c"]
        await publish("a", "no more")
        await publish("c", "still")
        assert (await socket.receive())["data"] == "still"


@pytest.mark.parametrize(
    ("text", "code", "field"),
    [
        ("{", "invalid-body", None),
        ("[]", "invalid-body", None),
        ('{"control": "dance"}', "invalid-body", "control"),
        ('{"control": "subscribe"}', "invalid-field", "topics"),
        ('{"control": "subscribe", "topics": "a"}', "invalid-body", "topics"),
        ('{"control": "subscribe", "patterns": ["**/a"]}', "invalid-field", "pattern"),
        ('{"control": "subscribe", "topics": ["1", "2", "3"]}', "invalid-field", "topics"),
    ],
)
async def test_invalid_messages_are_answered_and_the_socket_stays_open(
    text: str, code: str, field: str | None
) -> None:
    async with run_server(Settings(connections=ConnectionSettings(max_topics=3))) as server:
        async with open_socket(server, "topic=a") as socket:
            await socket.connection.send_message(text)
            answer = await socket.receive()
            assert (answer["control"], answer["code"], answer.get("field")) == ("error", code, field)
            await server.streamd.publish("a", "still here")
            assert (await socket.receive())["data"] == "still here"


async def test_an_oversized_message_closes_with_1009() -> None:
    async with run_server(Settings(connections=ConnectionSettings(max_message_bytes=100))) as server:
        async with open_socket(server, "topic=a") as socket:
            await socket.send(control="ping", nonce="x" * 200)
            with pytest.raises(ConnectionClosed):
                await socket.receive()
            assert socket.connection.closed is not None
            assert socket.connection.closed.code == 1009


@pytest.mark.parametrize(
    ("query", "status", "code"), [("", 400, "invalid-field"), ("topic=a", 503, "too-many-connections")]
)
async def test_a_rejection_precedes_the_handshake(query: str, status: int, code: str) -> None:
    async with run_server(Settings(connections=ConnectionSettings(max_connections=1))) as server:
        async with open_socket(server, "topic=a"):
            with pytest.raises(ExceptionGroup) as group:
                async with open_socket(server, query):
                    pass
        [rejected] = group.value.exceptions
        assert isinstance(rejected, ConnectionRejected)
        assert rejected.status_code == status
        assert rejected.body is not None
        assert json.loads(rejected.body)["code"] == code
        if status == 503:
            assert dict(rejected.headers or ())[b"retry-after"] == b"5"


async def test_a_replaced_client_is_closed_with_4001(streamd_server: RunningServer) -> None:
    async with open_socket(streamd_server, "topic=a&client_id=tab") as first:
        secret = first.connected["resume_secret"]
        async with open_socket(streamd_server, f"topic=a&client_id=tab&resume_secret={secret}"):
            closing = await first.receive()
            assert (closing["control"], closing["reason"]) == ("closing", "replaced")
            with pytest.raises(ConnectionClosed):
                await first.receive()
            assert first.connection.closed is not None
            assert first.connection.closed.code == 4001
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{streamd_server.url}/connections")).json()["total"] == 2


@pytest.mark.parametrize(
    "text",
    ['{"control":"ping"}', '{"control":"pong"}', "{", '{"control":"subscribe","topics":["b"]}'],
)
async def test_a_flood_of_messages_that_publish_nothing_is_closed_with_1008(
    streamd_server: RunningServer, text: str
) -> None:
    async with open_socket(streamd_server, "topic=a") as socket:

        async def flood() -> None:
            with suppress(ConnectionClosed):
                while True:
                    await socket.connection.send_message(text)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            last: dict[str, Any] = {}
            with pytest.raises(ConnectionClosed):
                while True:
                    last = await socket.receive()
            nursery.cancel_scope.cancel()
        assert (last["control"], last["reason"]) == ("closing", "flooded")
        assert socket.connection.closed is not None
        assert socket.connection.closed.code == 1008


async def test_a_publisher_over_a_socket_has_no_such_limit(streamd_server: RunningServer) -> None:
    async with open_socket(streamd_server, "topic=a") as socket:

        async def publish() -> None:
            for nonce in range(700):
                await socket.send(control="publish", topic="b", nonce=nonce)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish)
            answers = [await socket.receive() for _ in range(700)]
    assert [(answer["control"], answer["nonce"]) for answer in answers] == [
        ("published", nonce) for nonce in range(700)
    ]
