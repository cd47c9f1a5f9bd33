"""Three nodes behind each reverse proxy: one is killed or drains, and clients go to the others."""

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import h11
import httpx
import pytest
import trio

from streamd.client import Publisher
from streamd.testing import StreamReader, open_stream
from tests.support.fronts import CADDY, FRONTS, VARNISH, Front, FrontKind, front_of
from tests.support.server_process import ServerProcess, server_process
from tests.support.stalled_client import delayed_shutdown

NODES = 3
REQUESTS = 12
on_each_front = pytest.mark.parametrize("kind", FRONTS, ids=lambda kind: kind.program)


@asynccontextmanager
async def cluster(kind: FrontKind, folder: Path) -> AsyncIterator[tuple[Front, list[ServerProcess]]]:
    """Run three nodes, each with a log of its own in memory, and a front."""
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(server_process(server__drain_seconds=30)) for _ in range(NODES)
        ]
        ports = [node.port for node in nodes]
        yield await stack.enter_async_context(front_of(kind, *ports, folder=folder)), nodes


async def node_of(connection_id: object, nodes: list[ServerProcess]) -> int:
    """Return the index of the node that has a connection."""
    async with httpx.AsyncClient() as http:
        for index, node in enumerate(nodes):
            if (await http.get(f"{node.url}/connections/{connection_id}")).status_code == 200:
                return index
    raise AssertionError(f"no node has the connection {connection_id}")


async def publish_at(node: ServerProcess, data: str) -> None:
    async with httpx.AsyncClient(base_url=node.url) as http:
        assert (await http.post("/events", json={"topic": "a", "data": data})).status_code == 201


async def until_cut_off(stream: StreamReader) -> None:
    """Read a stream to its end, or to the point where its connection was cut off."""
    try:
        while await stream.next_block() is not None:
            pass
    except h11.RemoteProtocolError:
        pass


async def check_new_requests(kind: FrontKind, front: Front, lost: int, nodes: list[ServerProcess]) -> None:
    """Check that new polls, publishes and streams succeed, each on a connection of its own."""
    for _ in range(REQUESTS):
        async with httpx.AsyncClient(base_url=front.url, timeout=60) as http:
            assert (await http.get("/events/poll?topic=a&wait=0")).status_code == 200
            # Caddy before 2.8 and varnish do not repeat a body, sent or not.
            if kind not in (CADDY, VARNISH):
                posted = await http.post("/events", json={"topic": "a", "data": "published"})
                assert posted.status_code == 201
    async with Publisher(front.url) as publisher:
        for _ in range(REQUESTS):
            await publisher.publish("a", "published")
    for _ in range(NODES):
        async with open_stream(front.url, topics=["b"]) as stream:
            connected = await stream.next_control("connected")
            survivors = [node for index, node in enumerate(nodes) if index != lost]
            await node_of(connected["connection_id"], survivors)


@on_each_front
async def test_a_killed_node_ends_its_own_streams_only(kind: FrontKind, tmp_path: Path) -> None:
    async with cluster(kind, tmp_path) as (front, nodes), AsyncExitStack() as stack:
        streams: dict[int, StreamReader] = {}
        for _ in nodes:
            stream = await stack.enter_async_context(open_stream(front.url, topics=["a"]))
            connected = await stream.next_control("connected")
            streams[await node_of(connected["connection_id"], nodes)] = stream
        assert set(streams) == {0, 1, 2}, "a new stream goes to the node with the fewest"
        lost = 1
        nodes[lost].program.signal(signal.SIGKILL)
        await nodes[lost].program.ended()
        await check_new_requests(kind, front, lost, nodes)
        await until_cut_off(streams[lost])
        for index in (0, 2):
            await publish_at(nodes[index], f"only at {index}")
            while (event := await streams[index].next_event()) is not None:
                if event.data == f"only at {index}":
                    break
            assert event is not None


@on_each_front
async def test_a_draining_node_gets_no_new_streams(kind: FrontKind, tmp_path: Path) -> None:
    async with cluster(kind, tmp_path) as (front, nodes):
        # The front has idle connections to all nodes when the drain begins.
        async with httpx.AsyncClient(base_url=front.url) as http, trio.open_nursery() as nursery:
            for _ in range(REQUESTS):
                nursery.start_soon(http.get, "/events/poll?topic=a&wait=0")
        lost = 1
        async with delayed_shutdown(nodes[lost]), open_stream(nodes[lost].url, topics=["a"]) as stream:
            await stream.next_control("connected")
            nodes[lost].program.signal(signal.SIGTERM)
            await stream.next_control("closing")
            await check_new_requests(kind, front, lost, nodes)


@pytest.mark.soak
@on_each_front
async def test_a_node_that_comes_back_gets_requests_again(kind: FrontKind, tmp_path: Path) -> None:
    async with cluster(kind, tmp_path) as (front, nodes):
        back = nodes[2]
        back.program.signal(signal.SIGKILL)
        await back.program.ended()
        await check_new_requests(kind, front, 2, nodes)
        async with (
            server_process("--bind", f"127.0.0.1:{back.port}"),
            httpx.AsyncClient(base_url=back.url) as direct,
        ):
            serves = False
            while not serves:
                async with open_stream(front.url, topics=["a"]) as stream:
                    connected = await stream.next_control("connected")
                    answer = await direct.get(f"/connections/{connected['connection_id']}")
                    serves = answer.status_code == 200
