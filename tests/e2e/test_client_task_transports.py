"""The stream of a task over each transport of the browser client, in Node against a server."""

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
PROGRAM = "tests/support/node_task_follower.mjs"


@pytest.mark.parametrize(
    ("has_keys", "names"),
    [(False, ["sse", "websocket", "poll"]), (True, ["sse", "poll", "ladder"])],
    ids=["open", "with keys"],
)
async def test_every_transport_follows_a_task_to_its_end(has_keys: bool, names: list[str]) -> None:
    claims = {"sub": "u", "exp": time.time() + 600, "tasks": "own", "admin": True}
    headers = {"Authorization": f"Bearer {make_token(claims)}"} if has_keys else {}
    settings = {"auth__keys": SECRET} if has_keys else {}
    found: dict[str, dict[str, Any]] = {}
    async with server_process(
        "--log", "memory:", "--store", "memory:", seconds=SECONDS, **settings
    ) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=SECONDS, headers=headers) as http:
            answer = await http.post("/tasks", json={"kind": "import", "worker": "w"})
            task = answer.raise_for_status().json()

            async def report(**fields: Any) -> None:
                sent = await http.patch(f"/tasks/{task['id']}", json={"lease": task["lease"], **fields})
                sent.raise_for_status()

            async def follow() -> None:
                command = [node_command(), "--experimental-websocket", PROGRAM, DIST.as_uri()]
                arguments = [f"{server.url}/tasks/{task['id']}/events", json.dumps(headers), ",".join(names)]
                process = await trio.run_process([*command, *arguments], capture_stdout=True)
                found.update(json.loads(process.stdout))

            await report(progress=10)
            with trio.fail_after(SECONDS):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(follow)
                    while (await http.get("/connections")).json()["total"] < len(names):
                        pass  # each of them has begun: the rest of the task is live
                    for number in range(20, 100, 10):
                        await report(progress=number)
                    await report(status="completed", result={"n": 1})
    assert set(found) == set(names)
    for name, course in found.items():
        versions = [json.loads(event["data"])["version"] for event in course["events"]]
        assert versions[-1] == 12, name
        assert sorted(versions) == versions, name
        assert course["events"][-1]["type"] == "complete"
        assert course["status"] == (101 if name == "websocket" else 204)
        # A ladder goes on to polls: the client asks for tickets beside the stream, where there are none.
        assert course["transport"] == ("poll" if name == "ladder" else name)
