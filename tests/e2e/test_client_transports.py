"""The transports of the browser client, in Node against a server: the same events, byte for byte."""

import base64
import json
import time
from typing import Any

import httpx
import pytest
import trio

from tests.support.node import DIST, node_command
from tests.support.server_process import server_process
from tests.support.tokens import SECRET, make_token

SECONDS = 60
PROGRAM = "tests/support/node_follower.mjs"
BYTES = base64.b64encode(bytes(range(256))).decode()
LONG = '"' * 50_000 + "\\" * 50_001 + "é" * 50_000

# The JSON of an event without its topic, and the data that arrives.
EVENTS: list[tuple[str, str]] = [
    ('"data":"plain"', "plain"),
    ('"data":""', ""),
    ("", ""),
    (f'"data":{json.dumps(chr(0) + "é☃😀 [{,:]} two" + chr(10) + "lines")}', "\0é☃😀 [{,:]} two\nlines"),
    (f'"data":{json.dumps(LONG)}', LONG),
    ('"data":"null"', "null"),
    ('"data":null', "null"),
    ('"data":1.0', "1.0"),
    ('"data":12345678901234567890', "12345678901234567890"),
    ('"data":[]', "[]"),
    (
        '"type":"t","data":{ "a": 1.0, "b": [1e2, {"c": "}]\\\\\\""}], "": -0.0 }',
        '{"a":1.0,"b":[1e2,{"c":"}]\\\\\\""}],"":-0.0}',
    ),
    (f'"encoding":"base64","data":"{BYTES}"', BYTES),
    ('"encoding":"base64","data":"","retry":1000', ""),
]


@pytest.mark.parametrize("has_keys", [False, True], ids=["open", "with keys"])
async def test_every_transport_brings_the_same_events(has_keys: bool) -> None:
    claims = {"sub": "u", "exp": time.time() + 600, "publish": ["a", "sent"], "subscribe": ["a"]}
    headers = {"Authorization": f"Bearer {make_token(claims)}"} if has_keys else {}
    settings = {"auth__keys": SECRET} if has_keys else {}
    async with server_process(
        "--log", "memory:", "--store", "memory:", seconds=SECONDS, **settings
    ) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=SECONDS, headers=headers) as http:
            ids = []
            for fields, _ in EVENTS:
                body = f'{{"topic":"a"{fields and ","}{fields}}}'
                answer = await http.post(
                    "/events", content=body, headers={"Content-Type": "application/json"}
                )
                ids.append(answer.raise_for_status().json()["id"])
        command = [node_command(), "--experimental-websocket", PROGRAM, DIST.as_uri(), f"{server.url}/events"]
        process = await trio.run_process(
            [*command, str(len(EVENTS)), json.dumps(headers)], capture_stdout=True
        )
    found: dict[str, dict[str, Any]] = json.loads(process.stdout)
    assert list(found) == ["sse", "websocket", "poll"]
    for transport, course in found.items():
        assert [event["data"] for event in course["events"]] == [data for _, data in EVENTS], transport
        assert course["events"] == found["sse"]["events"]
        assert course["refused"] == "reserved-topic"
        assert course["sent"] > ids[-1]
    assert [event["id"] for event in found["sse"]["events"]] == ids
    assert {event["encoding"] for event in found["sse"]["events"]} == {"", "base64"}
