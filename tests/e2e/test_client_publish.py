"""``streamd-client/publish`` in Node against a server that is killed, and one with keys."""

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from streamd.services.purchase_orders.merchant_events import (
    TYPES,
    StageIds,
    completion_event,
    error_event,
    progress_event,
    stage_event,
)
from tests.support.node_publisher import NodePublisher, PublisherFailed, node_publisher
from tests.support.server_process import ServerProcess, server_process
from tests.support.silent_app import SILENT
from tests.support.tokens import SECRET, make_token

SECONDS = 60
SOON = {"baseMs": 20, "maxMs": 200}  # of backoff
RETRIES = 1000  # a busy machine takes seconds to start the next server; a call ends at its timeout
ORDER = {"poId": "po-1", "workflowId": "1"}
EVENTS = 400
PUBLISHERS = 4
BYTES = base64.b64encode(bytes(range(256))).decode()


@asynccontextmanager
async def serving(folder: Path, *, bind: str = "127.0.0.1:0") -> AsyncIterator[ServerProcess]:
    """Run a server whose log and tasks outlive it, and that withholds answers when it is asked to."""
    urls = {name: f"sqlite:{folder / name}.db" for name in ("log", "store")}
    options = ("--app", "tests.support.silent_app:make", "--log", urls["log"], "--store", urls["store"])
    async with server_process(*options, "--bind", bind, seconds=SECONDS) as server:
        yield server


async def kill(server: ServerProcess) -> None:
    server.program.process.kill()
    await server.program.ended()


async def get(url: str, path: str) -> Any:
    async with httpx.AsyncClient(base_url=url, timeout=SECONDS) as http:
        return (await http.get(path)).raise_for_status().json()


async def events_of(url: str, *topics: str, token: str = "") -> list[dict[str, Any]]:
    """Read all events of some topics."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    events: list[dict[str, Any]] = []
    after = "earliest"
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=SECONDS) as http:
        while True:
            answer = await http.get("/events/poll", params={"topic": topics, "after": after, "wait": 0})
            page = answer.raise_for_status().json()
            if not page["events"]:
                return events
            events += page["events"]
            after = page["next"]


async def test_a_kill_between_events_loses_none_and_repeats_none(tmp_path: Path) -> None:
    ids: dict[int, str] = {}
    half, done = trio.Event(), trio.Event()

    async def publish(publisher: NodePublisher, first: int) -> None:
        for number in range(first, EVENTS, PUBLISHERS):
            ids[number] = await publisher.call("publish", "numbers", {"number": number})
            if len(ids) == EVENTS // 2:
                half.set()
            elif len(ids) == EVENTS:
                done.set()

    async with (
        serving(tmp_path) as server,
        node_publisher(server.url, retries=RETRIES, backoff=SOON) as publisher,
        trio.open_nursery() as nursery,
    ):
        for first in range(PUBLISHERS):
            nursery.start_soon(publish, publisher, first)
        await half.wait()
        await kill(server)
        assert len(ids) < EVENTS, "the kill came too late"
        async with serving(tmp_path, bind=f"127.0.0.1:{server.port}") as again:
            await done.wait()
            events = await events_of(again.url, "numbers")
    found = {event["data"]["number"]: event["id"] for event in events}
    assert (len(events), found) == (EVENTS, ids)


@asynccontextmanager
async def answered_after_a_kill(
    server: ServerProcess, publisher: NodePublisher, folder: Path, *calls: tuple[Any, ...]
) -> AsyncIterator[tuple[ServerProcess, list[Any]]]:
    """Let a server perform calls and answer none, kill it, and let the next one answer.

    Yields:
        The next server, and the values of the calls.
    """
    values: list[Any] = [None] * len(calls)
    done = trio.Event()

    async def call(index: int) -> None:
        values[index] = await publisher.call(*calls[index])

    async def call_all() -> None:
        async with trio.open_nursery() as nursery:
            for index in range(len(calls)):
                nursery.start_soon(call, index)
        done.set()

    await publisher.call("headers", {SILENT: "yes"})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call_all)
        statuses = await server.program.lines(len(calls))
        assert set(statuses) <= {"200", "201"}
        await kill(server)
        await publisher.call("headers", {})
        async with serving(folder, bind=f"127.0.0.1:{server.port}") as following:
            await done.wait()
            yield following, values


async def test_calls_whose_answers_are_lost_have_one_effect(tmp_path: Path) -> None:
    new = {"kind": "import", "leaseSeconds": 120}
    async with (
        serving(tmp_path) as first,
        node_publisher(first.url, retries=RETRIES, backoff=SOON) as publisher,
    ):
        tasks = [await publisher.call("createTask", new) for _ in range(2)]
        reports = (
            ("publish", "one", {"base64": BYTES}),
            ("publishAll", [{"topics": "many", "data": 1}, {"topics": ["many"], "data": "x"}]),
            ("createTask", new),
            ("updateTask", tasks[0], {"text": "once "}),
            ("updateTask", tasks[1], {"step": {"name": "read", "status": "completed"}}),
        )
        async with answered_after_a_kill(first, publisher, tmp_path, *reports) as (second, values):
            one, many, made, *_ = values
            await publisher.call("updateTask", tasks[0], {"text": "twice"})
            ends = (("completeTask", tasks[0], {"rows": 2}), ("failTask", tasks[1], "no file"))
            async with answered_after_a_kill(second, publisher, tmp_path, *ends) as (third, ended):
                events = await events_of(third.url, "one", "many")
                listed = (await get(third.url, "/tasks"))["tasks"]
                result = await get(third.url, f"/tasks/{tasks[0]['id']}/result")
                text = await text_of(third.url, tasks[0]["id"])
    assert [event["id"] for event in events] == sorted([one, *many])
    assert [event["data"] for event in events if event["id"] == one] == [BYTES]
    assert {task["id"] for task in listed} == {made["id"], *(task["id"] for task in tasks)}
    assert [task["status"] for task in ended] == ["completed", "failed"]
    assert (result, text) == ({"rows": 2}, "once twice")


async def text_of(url: str, task_id: str) -> str:
    """Return the text of a task that has ended, from the snapshot that begins its stream."""
    async with httpx.AsyncClient(base_url=url, timeout=SECONDS) as http:
        answer = await http.get(f"/tasks/{task_id}/events")
    data = next(line for line in answer.text.splitlines() if line.startswith("data: ") and '"text"' in line)
    text: str = json.loads(data.removeprefix("data: "))["text"]
    return text


async def test_a_task_from_its_creation_to_its_end(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, node_publisher(server.url) as publisher:
        task = await publisher.call("createTask", {"kind": "import", "steps": [{"name": "read"}]})
        assert (task["status"], task["worker"]) == ("running", "streamd-client")
        task = {"id": task["id"], "lease": task["lease"]}
        report = {"step": {"name": "read", "progress": 50}, "message": "half", "fields": {"rows": 21}}
        answer = await publisher.call("updateTask", task, report)
        assert (answer["progress"], answer["message"], answer["details"]) == (50, "half", {"rows": 21})
        answer = await publisher.call("completeTask", task, {"rows": 42}, {"message": "imported"})
        assert (answer["status"], answer["message"], answer["has_result"]) == ("completed", "imported", True)
        with pytest.raises(PublisherFailed) as rejected:
            await publisher.call("failTask", task, "too late")
        assert (rejected.value.status, rejected.value.code) == (409, "invalid-transition")
        pending = await publisher.call("createTask", {"kind": "import", "worker": None})
        assert (pending["status"], "lease" in pending) == ("pending", False)


async def test_a_worker_is_told_of_a_cancellation(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, node_publisher(server.url) as publisher:
        task = await publisher.call("createTask", {"kind": "import"})
        async with httpx.AsyncClient(base_url=server.url, timeout=SECONDS) as http:
            (await http.post(f"/tasks/{task['id']}/cancel")).raise_for_status()
        assert (await publisher.call("updateTask", task, {"progress": 5}))["cancelled"] is True


async def test_merchants_receive_events_of_a_program_whose_grant_names_their_topics() -> None:
    claims = {"sub": "shop", "exp": time.time() + 600}
    granted = make_token({**claims, "publish": ["merchant:m:*"]})
    merchant = make_token({**claims, "merchant": "m"})
    other = make_token({**claims, "publish": ["*"]})
    stage = {"stage": "database_save", **ORDER}
    async with server_process(auth__keys=SECRET, seconds=SECONDS) as server:
        async with node_publisher(server.url, token=granted) as publisher:
            sent = [
                ("Stage", {**stage, "message": "Saving to database"}),
                ("Progress", {**stage, "progress": 30, "message": "Validating AI results"}),
                ("Completion", {**stage, "lineItems": 3, "confidence": 91.5}),
                ("Error", {**stage, "error": "no space"}),
            ]
            for name, fields in sent:
                await publisher.call(f"publishMerchant{name}", "m", fields)
            with pytest.raises(PublisherFailed) as rejected:
                await publisher.call("publishMerchantStage", "n", stage)
            assert (rejected.value.status, rejected.value.code) == (403, "reserved-topic")
        async with node_publisher(server.url, token=other) as publisher:
            with pytest.raises(PublisherFailed) as rejected:
                await publisher.call("publishMerchantStage", "m", stage)
            assert (rejected.value.status, rejected.value.code) == (403, "reserved-topic")
        topics = [f"merchant:m:{type}" for type in TYPES]
        events = await events_of(server.url, *topics, token=merchant)
    ids: StageIds = {"stage": "database_save", "po_id": "po-1", "workflow_id": "1"}
    expected = [  # as the Python service builds them
        stage_event(message="Saving to database", **ids),
        progress_event(progress=30, message="Validating AI results", **ids),
        completion_event(further={"lineItems": 3, "confidence": 91.5}, **ids),
        error_event(error="no space", **ids),
    ]
    assert [event["type"] for event in events] == list(TYPES)
    assert [event["data"] for event in events] == [event.data for event in expected]
