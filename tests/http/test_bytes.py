"""Events whose data is bytes: every door that takes them, and every wire that carries them."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from quart_trio import QuartTrio

from streamd import EventStream, Streamd
from streamd.connections.settings import ConnectionSettings
from streamd.events.settings import EventSettings
from streamd.http.schema import NDJSON
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import open_stream, run_server
from tests.support.api import SECONDS, Api, serving_api
from tests.support.plain import NO_SERVICES
from tests.support.wire_kinds import WireKind, on_each_wire, settings_for, subscribed

ALL_BYTES = bytes(range(256))
TEXT = b64encode(ALL_BYTES).decode()
SETTINGS = Settings(
    connections=ConnectionSettings(control=True), events=EventSettings(max_event_bytes=1000), **NO_SERVICES
)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    with trio.fail_after(SECONDS):
        async with serving_api(SETTINGS) as api:
            yield api


async def poll(api: Api, topic: str = "a") -> list[dict[str, Any]]:
    """Return all events of a topic, without their ids."""
    answer = await api.http.get("/events/poll", params={"topic": topic, "after": "earliest", "wait": "0"})
    events: list[dict[str, Any]] = answer.json()["events"]
    return [{name: value for name, value in event.items() if name != "id"} for event in events]


def as_json(data: str, **members: Any) -> dict[str, Any]:
    return {"type": "message", "topics": ["a"], "data": data, **members}


# --- publishing -----------------------------------------------------------------------------------


async def test_one_event_an_array_and_lines_take_base64(api: Api) -> None:
    event = {"topic": "a", "data": TEXT, "encoding": "base64"}
    text = {"topic": "a", "data": TEXT}
    assert (await api.http.post("/events", json=event)).status_code == 201
    assert (await api.http.post("/events", json=[text, event, {**event, "data": ""}])).status_code == 201
    lines = b"\n".join(json.dumps(line).encode() for line in (event, {**text, "encoding": None}))
    answer = await api.http.post("/events", content=lines, headers={"Content-Type": NDJSON})
    assert [sorted(json.loads(line)) for line in answer.content.splitlines()] == [["id", "line"]] * 2
    marked, plain = as_json(TEXT, encoding="base64"), as_json(TEXT)
    assert await poll(api) == [marked, plain, marked, as_json("", encoding="base64"), marked, plain]


async def test_a_program_publishes_any_buffer(api: Api) -> None:
    publish = api.server.streamd.publish
    for data in (ALL_BYTES, bytearray(ALL_BYTES), memoryview(ALL_BYTES)):
        await publish("a", data)
    await publish("a", TEXT)
    assert await poll(api) == [as_json(TEXT, encoding="base64")] * 3 + [as_json(TEXT)]


@pytest.mark.parametrize(
    ("members", "status", "field"),
    [
        ({"data": "AAEC", "encoding": "base32"}, 400, "encoding"),
        ({"data": "AAEC", "encoding": "text"}, 400, "encoding"),
        ({"data": {"n": 1}, "encoding": "json"}, 400, "encoding"),
        ({"data": "AAEC", "encoding": 64}, 400, "encoding"),
        ({"data": {"n": 1}, "encoding": "base64"}, 400, "data"),
        ({"data": "AAE", "encoding": "base64"}, 400, "data"),
        ({"data": "AAEC\n", "encoding": "base64"}, 400, "data"),
        ({"data": "AB==", "encoding": "base64"}, 400, "data"),
        ({"data": "A" * 1000, "encoding": "base64"}, 413, "data"),
    ],
)
async def test_a_wrong_member_is_named_at_each_door(
    api: Api, members: dict[str, Any], status: int, field: str
) -> None:
    event = {"topic": "a", **members}
    answer = await api.http.post("/events", json=event)
    assert (answer.status_code, answer.json()["field"]) == (status, field)
    answer = await api.http.post("/events", json=[{"topic": "a"}, {"topic": "a"}, event])
    assert (answer.status_code, answer.json()["field"]) == (status, f"[2].{field}")
    answer = await api.http.post("/events", content=json.dumps(event), headers={"Content-Type": NDJSON})
    error = json.loads(answer.content)["error"]
    assert (error["status"], error["field"]) == (status, field)
    for path in ("/connections/broadcast", "/connections/nobody/send"):
        answer = await api.http.post(path, json=members)
        assert (answer.status_code, answer.json()["field"]) == (status, field)
    assert await poll(api) == []


async def test_the_limit_of_an_event_counts_its_base64(api: Api) -> None:
    limit = 1000 - len("a") - len("message")  # divisible by four
    answer = await api.http.post("/events", json={"topic": "a", "data": "A" * limit, "encoding": "base64"})
    assert answer.status_code == 201


async def test_one_idempotency_key_has_one_encoding(api: Api) -> None:
    event = {"topic": "a", "data": TEXT, "encoding": "base64", "idempotency_key": "k"}
    first = await api.http.post("/events", json=event)
    again = await api.http.post("/events", json=event)
    assert again.json() == first.json()
    assert await api.server.streamd.publish("a", ALL_BYTES, idempotency_key="k") == first.json()["id"]
    del event["encoding"]
    conflict = await api.http.post("/events", json=event)
    assert (conflict.status_code, conflict.json()["field"]) == (409, "idempotency_key")
    assert len(await poll(api)) == 1


# --- receiving ------------------------------------------------------------------------------------


@on_each_wire
async def test_every_wire_carries_bytes_replayed_and_live(wire: WireKind, tmp_path: Path) -> None:
    with trio.fail_after(SECONDS):
        async with run_server(settings_for(wire, tmp_path, ServerSettings())) as server:
            publish = server.streamd.publish
            first = await publish("a", ALL_BYTES, type="image", retry_ms=5)
            async with subscribed(server, wire, "a", last_event_id="earliest") as client:
                await client.read_until(lambda: len(client.events) == 1)  # a page of the log
                second = await publish("a", b"\0\x01\x02")
                third = await publish("a", "AAEC")
                await client.read_until(lambda: len(client.events) == 3)
    if wire.name.startswith("WebSocket"):
        shown = [json.loads(event) for event in client.events]
        assert shown == [
            {"id": first, **as_json(TEXT, type="image", encoding="base64", retry=5)},
            {"id": second, **as_json("AAEC", encoding="base64")},
            {"id": third, **as_json("AAEC")},
        ]
    else:
        assert client.events == [
            f"event: image\nencoding: base64\nretry: 5\ndata: {TEXT}\nid: {first}\n\n".encode(),
            f"encoding: base64\ndata: AAEC\nid: {second}\n\n".encode(),
            f"data: AAEC\nid: {third}\n\n".encode(),
        ]


async def test_a_message_to_one_client_may_be_bytes(api: Api) -> None:
    async with open_stream(api.server.url, topics=["a"], client_id="me") as reader:
        await reader.next_control("connected")
        body = {"data": "AAEC", "encoding": "base64", "type": "image"}
        assert (await api.http.post("/connections/me/send", json=body)).status_code == 202
        answer = await api.http.post("/connections/broadcast", json=body)
        assert answer.json() == {"sent": 1, "full": 0}
        for message in await reader.take(2):
            assert (message.type, message.data, message.encoding) == ("image", "AAEC", "base64")


async def test_a_generated_stream_may_yield_bytes() -> None:
    app = QuartTrio("own")
    Streamd(app)

    async def chunks() -> AsyncIterator[bytes | str]:
        yield ALL_BYTES
        yield TEXT

    @app.get("/chunks")
    async def show() -> EventStream:
        return EventStream(chunks())

    with trio.fail_after(SECONDS):
        async with run_server(app=app) as server, open_stream(server.url, path="/chunks") as reader:
            binary, text = await reader.take(2)
    assert (binary.data, binary.encoding) == (TEXT, "base64")
    assert (text.data, text.encoding) == (TEXT, "")


async def test_the_document_describes_the_marker(api: Api) -> None:
    document = (await api.http.get("/openapi.json")).json()
    for name in ("Publish", "LoggedEvent", "ClientMessageBody", "BroadcastBody"):
        marker = document["components"]["schemas"][name]["properties"]["encoding"]
        [described] = [part for part in marker.get("anyOf", [marker]) if part.get("type") != "null"]
        assert described["enum"] == ["base64"], name
