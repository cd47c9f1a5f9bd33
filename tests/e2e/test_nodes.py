"""Three nodes on one Redis, behind a front: clients go to any of them, and move when one is killed."""

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import h11
import httpx
import pytest
import trio

from streamd.testing import StreamRefused, open_stream
from tests.support.fronts import NGINX, front_of
from tests.support.program import run
from tests.support.redis_servers import new_prefix, shared_server
from tests.support.server_process import ServerProcess, server_process

SECONDS = 150
READERS = 300
EVENTS = 60


class NodeReader:
    """A client that reads a topic through the front, and resumes whenever its stream ends."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ids: list[str] = []
        self.connects = 0
        self.last_event_id = "earliest"

    async def read(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read until the last event has come; started once it is connected for the first time."""
        while True:
            try:
                async with open_stream(self.url, topics=["t"], last_event_id=self.last_event_id) as stream:
                    await stream.next_control("connected")
                    self.connects += 1
                    if self.connects == 1:
                        task_status.started()
                    while (event := await stream.next_event()) is not None:
                        self.ids.append(event.last_event_id)
                        self.last_event_id = event.last_event_id
                        if event.data == "last":
                            return
            except (OSError, EOFError, StreamRefused, h11.RemoteProtocolError, trio.BrokenResourceError):
                pass  # the next attempt reaches another node
            await trio.sleep(0.01)


@asynccontextmanager
async def three_nodes() -> AsyncIterator[list[ServerProcess]]:
    """Run three nodes on one Redis."""
    url, prefix = shared_server().url, new_prefix().strip("{}")
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                server_process("--log", url, "--store", url, seconds=SECONDS, redis__prefix=prefix)
            )
            for _ in range(3)
        ]


async def publish(http: httpx.AsyncClient, data: str) -> str:
    """Publish through the front, again while a node is away, and return the event's id."""
    event = {"topic": "t", "data": data, "idempotency_key": data}
    while True:
        try:
            answer = await http.post("/events", json=event)
        except httpx.TransportError:
            continue
        if answer.status_code in (200, 201):
            return str(answer.json()["id"])


@pytest.mark.soak
async def test_readers_of_a_killed_node_continue_on_the_others(tmp_path: Path) -> None:
    async with (
        three_nodes() as nodes,
        front_of(NGINX, *(node.port for node in nodes), folder=tmp_path) as front,
        httpx.AsyncClient(base_url=front.url, timeout=30) as http,
    ):
        readers = [NodeReader(front.url) for _ in range(READERS)]
        with trio.fail_after(SECONDS):
            async with trio.open_nursery() as reading:
                for reader in readers:
                    await reading.start(reader.read)
                published = [await publish(http, str(n)) for n in range(EVENTS // 2)]
                nodes[1].program.signal(signal.SIGKILL)
                published += [await publish(http, str(n)) for n in range(EVENTS // 2, EVENTS)]
                published.append(await publish(http, "last"))
    assert all(reader.ids == published for reader in readers)
    moved = sum(reader.connects > 1 for reader in readers)
    assert READERS / 6 < moved < READERS / 2  # about a third of them had been on the node


@pytest.mark.soak
async def test_the_services_work_with_requests_on_different_nodes(tmp_path: Path) -> None:
    async with (
        three_nodes() as nodes,
        front_of(NGINX, *(node.port for node in nodes), folder=tmp_path) as front,
    ):
        done = await run("check-services", front.url)
    assert done.returncode == 0, done.stdout + done.stderr
