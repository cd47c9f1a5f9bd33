"""Large JSON texts are checked in worker threads, whichever door they come through."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import httpx
import msgspec
import pytest
from trio_websocket import open_websocket_url

from streamd.connections.settings import ConnectionSettings
from streamd.json import codec
from streamd.json.pieces import PIECE_BYTES
from streamd.settings import Settings
from streamd.testing import run_server
from tests.support.api import Api
from tests.support.counted import calls_here

JSON = {"Content-Type": "application/json"}
DATA = [[number, {"a": str(number)}] for number in range(PIECE_BYTES // 10)]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    settings = Settings(connections=ConnectionSettings(control=True, max_message_bytes=1_000_000))
    async with run_server(settings) as server, httpx.AsyncClient(base_url=server.url) as http:
        yield Api(server, http)


@contextmanager
def sizes_checked_here() -> Iterator[list[int]]:
    """Collect the sizes of the texts that this thread checks, which runs the event loop (bytes)."""
    sizes = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename == codec.__file__ and "raw" in frame.f_locals:
            sizes.append(len(frame.f_locals["raw"]))

    sys.setprofile(note)
    try:
        yield sizes
    finally:
        sys.setprofile(None)


async def post(api: Api, path: str, content: bytes, media_type: str = "application/json") -> httpx.Response:
    return await api.http.post(path, content=content, headers={"Content-Type": media_type})


@pytest.mark.parametrize("indent", [None, 1], ids=["compact", "indented"])
async def test_no_large_text_is_checked_by_the_event_loop(api: Api, indent: int | None) -> None:
    event = {"topic": "a", "data": DATA}
    spaces = indent or -1

    def encode(value: Any) -> bytes:
        return msgspec.json.format(msgspec.json.encode(value), indent=spaces)

    with sizes_checked_here() as sizes:
        assert (await post(api, "/events", encode(event))).status_code == 201
        assert (await post(api, "/events", encode([event, event]))).status_code == 201
        line = msgspec.json.format(msgspec.json.encode(event), indent=-1)
        lines = await post(api, "/events", line + b"\n" + line, "application/x-ndjson")
        assert lines.text.count('"id"') == 2
        created = await post(api, "/tasks", encode({"kind": "k", "id": "t", "input": DATA, "worker": "w"}))
        assert created.status_code == 201
        report = {
            "lease": created.json()["lease"],
            "status": "completed",
            "result": DATA * 5,
        }  # too large for an event
        ended = await api.http.patch("/tasks/t", content=encode(report), headers=JSON)
        assert ended.status_code == 200
        sent = await post(api, "/connections/broadcast", encode({"data": DATA}))
        assert sent.status_code == 200
    assert sizes
    assert max(sizes) <= PIECE_BYTES
    assert (await api.http.get("/tasks/t/result")).json() == DATA * 5


async def test_no_large_message_is_checked_by_the_event_loop(api: Api) -> None:
    message = msgspec.json.encode({"control": "publish", "topic": "a", "data": DATA}).decode()
    url = api.server.url.replace("http:", "ws:") + "/events?topic=b"
    async with open_websocket_url(url) as socket:
        await socket.get_message()
        with sizes_checked_here() as sizes:
            await socket.send_message(message)
            answer = msgspec.json.decode(await socket.get_message())
    assert answer["control"] == "published"
    assert max(sizes, default=0) <= PIECE_BYTES


async def test_the_idempotency_key_of_a_large_input_allows_another_order(api: Api) -> None:
    headers = {**JSON, "Idempotency-Key": "k"}
    first, second = ({"a": 1, "b": DATA}, {"b": DATA, "a": 1})
    answers = [
        await api.http.post("/tasks", json={"kind": "k", "input": input}, headers=headers)
        for input in (first, second)
    ]
    assert answers[0].json()["id"] == answers[1].json()["id"]


async def test_large_fields_of_a_report_are_refused(api: Api) -> None:
    created = await api.http.post("/tasks", json={"kind": "k", "id": "t", "worker": "w"})
    report = {"lease": created.json()["lease"], "fields": {"a": DATA * 2}}
    refused = await api.http.patch("/tasks/t", json=report)
    assert (refused.status_code, refused.json()["field"]) == (413, "fields")
    wrong = await api.http.patch("/tasks/t", json={**report, "fields": [1]})
    assert (wrong.status_code, wrong.json()["field"]) == (400, "fields")


async def test_many_small_values_are_checked_in_a_worker_thread(api: Api) -> None:
    data = b"[" + b",".join([b"{}"] * 2_000) + b"]"
    with sizes_checked_here() as sizes:
        answer = await post(api, "/events", b'{"topic":"a","data":' + data + b"}")
    assert answer.status_code == 201
    assert max(sizes, default=0) < len(data)


async def test_a_result_of_many_small_values_is_fetched(api: Api) -> None:
    created = await api.http.post("/tasks", json={"kind": "k", "id": "t", "worker": "w"})
    result: list[Any] = [[]] * 6_000
    report = {"lease": created.json()["lease"], "status": "completed", "result": result}
    assert (await api.http.patch("/tasks/t", json=report)).status_code == 200
    polled = (await api.http.get("/tasks/t/events/poll?wait=0")).json()
    assert "result" not in polled["events"][-1]["data"]
    assert (await api.http.get("/tasks/t/result")).json() == result


async def test_a_snapshot_with_a_long_text_is_checked_in_a_worker_thread(api: Api) -> None:
    created = await api.http.post("/tasks", json={"kind": "k", "id": "t", "worker": "w"})
    words = "some words, " * 10_000
    report = {"lease": created.json()["lease"], "text": words}
    assert (await api.http.patch("/tasks/t", json=report)).status_code == 200
    await api.http.get("/tasks/t/events/poll?wait=0")  # once the text is published
    with sizes_checked_here() as sizes:
        answer = await api.http.get("/tasks/t/events/poll?wait=0")
    [snapshot] = answer.json()["events"]
    assert snapshot["data"]["text"] == words
    assert max(sizes, default=0) <= PIECE_BYTES


async def test_a_long_listing_is_described_in_a_worker_thread(api: Api) -> None:
    for number in range(12):
        steps = [{"name": f"s{step}"} for step in range(number)]
        await api.http.post("/tasks", json={"kind": "k", "id": f"t{number}", "steps": steps})
    each = [(await api.http.get(f"/tasks/t{number}")).json() for number in reversed(range(12))]
    with calls_here("task_fields") as calls:
        assert (await api.http.get("/tasks")).json() == {"tasks": each}
        assert calls == []
        assert (await api.http.get("/tasks?limit=2")).json() == {"tasks": each[:2]}
        assert len(calls) == 2
