"""The application on stock Hypercorn, over plain ASGI."""

import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import trio
from trio_websocket import open_websocket_url

from streamd.testing import open_stream
from tests.support.program import SECONDS, Program, environment

APP = "streamd.app:create_app()"
BEHIND_PROXY = (
    "streamd.app:create_app(attrs.evolve(Settings(), server=attrs.evolve("
    "Settings().server, trusted_proxies=['127.0.0.1'], root_path='/realtime')))"
)


@asynccontextmanager
async def hypercorn(app: str = APP) -> AsyncIterator[tuple[str, Program]]:
    """Run the application and yield its URL and the process.

    Args:
        app: the module, and the expression in it that makes the application.
    """
    arguments = ("-k", "trio", app, "--bind", "127.0.0.1:0")
    with trio.fail_after(SECONDS):
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "hypercorn", *arguments],
            stdout=-1,
            stderr=-1,
            # Hypercorn leaves resources to the collector, which warns.
            env=environment(PYTHONWARNINGS="default"),
            start_new_session=True,  # its worker is a separate process and must end with it
        )
        try:
            program = Program(process)
            while (found := re.search(r"http://\S+", await program.line(2))) is None:
                pass
            yield found[0], program
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with trio.CancelScope(shield=True):
                await process.wait()
            for pipe in (process.stdout, process.stderr):
                assert pipe is not None
                await trio.aclose_forcefully(pipe)


async def publish(http: httpx.AsyncClient, url: str, data: str) -> str:
    answer = await http.post(f"{url}/events", json={"topic": "t", "data": data})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def test_streams_resume_and_release_their_slots() -> None:
    async with hypercorn() as (url, _), httpx.AsyncClient() as http:
        first = await publish(http, url, "first")
        await publish(http, url, "second")
        async with open_stream(url, topics=["t"], last_event_id=first) as reader:
            assert [event.data for event in await reader.take(1)] == ["second"]
            await publish(http, url, "third")
            assert [event.data for event in await reader.take(1)] == ["third"]
            assert (await http.get(f"{url}/connections")).json()["active"] == 1
        while (await http.get(f"{url}/connections")).json()["active"]:  # until the server notices the close
            pass
        async with open_websocket_url(f"{url.replace('http', 'ws', 1)}/events?topic=t") as socket:
            assert '"connected"' in await socket.get_message()
            await publish(http, url, "fourth")
            assert '"fourth"' in await socket.get_message()
        polled = await http.get(f"{url}/events/poll", params={"topic": "t", "after": first, "wait": 0})
        assert [event["data"] for event in polled.json()["events"]] == ["second", "third", "fourth"]


async def test_rejections_and_head_are_as_on_streamds_server() -> None:
    async with hypercorn() as (url, _), httpx.AsyncClient() as http:
        rejected = await http.get(f"{url}/events")
        assert rejected.status_code == 400
        assert rejected.json()["field"] == "topic"
        head = await http.head(f"{url}/events", params={"topic": "t"})
        assert head.status_code == 200
        assert head.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (await http.get(f"{url}/connections")).json()["active"] == 0


async def test_a_trusted_proxy_names_the_client_and_the_prefix() -> None:
    headers = {"X-Forwarded-For": "192.0.2.7"}
    async with hypercorn(BEHIND_PROXY) as (url, _), httpx.AsyncClient() as http:
        for prefix in ("", "/realtime"):
            async with open_stream(url + prefix, topics=["t"], headers=headers) as reader:
                await reader.next_control("connected")
                listed = (await http.get(f"{url}/realtime/connections")).json()["connections"]
                assert "192.0.2.7" in [connection["address"] for connection in listed]
        created = await http.post(f"{url}/tasks", json={"kind": "import"}, headers=headers)
        assert created.headers["location"] == f"/realtime/tasks/{created.json()['id']}"


async def test_sigterm_ends_it_without_clients() -> None:
    async with hypercorn() as (url, program):
        async with open_stream(url, topics=["t"]) as reader:
            await reader.next_control("connected")
        program.signal(signal.SIGTERM)
        assert await program.ended() == 0
