"""``/connections`` on two nodes with one log in Redis: each answers for both."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest

from streamd.connections.settings import ConnectionSettings
from streamd.errors import TooManyConnections
from streamd.hub.settings import HubSettings
from streamd.log.settings import LogSettings
from streamd.redis.settings import RedisSettings
from streamd.services.sentiment.settings import SentimentSettings
from streamd.settings import Settings
from streamd.testing import StreamRefused, open_stream
from tests.support.api import Api, check_problem, serving_api
from tests.support.plain import NO_SERVICES
from tests.support.receivers import RECEIVERS, TRANSPORTS, receiving
from tests.support.redis_servers import new_prefix, shared_server
from tests.support.waiting import until

on_each_transport = pytest.mark.parametrize("kind", RECEIVERS)


@asynccontextmanager
async def two_nodes(settings: Settings) -> AsyncIterator[tuple[Api, Api]]:
    """Run two servers with these settings on one log in Redis."""
    shared = attrs.evolve(
        settings,
        log=LogSettings(url=shared_server().url),
        redis=RedisSettings(prefix=new_prefix().strip("{}")),
    )
    async with serving_api(shared) as first, serving_api(shared) as second:
        for api in (first, second):
            node = api.server.streamd.runtime.node
            assert node is not None
            await until(lambda node=node: len(node.channel.live_nodes()) == 1)  # type: ignore[misc]
        yield first, second


@pytest.fixture
async def nodes() -> AsyncIterator[tuple[Api, Api]]:
    settings = Settings(
        connections=ConnectionSettings(control=True), hub=HubSettings(send_queue_events=4), **NO_SERVICES
    )
    async with two_nodes(settings) as nodes:
        yield nodes


@on_each_transport
async def test_both_nodes_list_and_show_a_connection(nodes: tuple[Api, Api], kind: str) -> None:
    async with receiving(nodes[0].server, kind, client_id="tab") as (_, connection):
        for node in nodes:
            for id in (connection.id, "tab"):
                state = (await node.http.get(f"/connections/{id}")).json()
                assert (state["id"], state["client_id"]) == (connection.id, "tab")
                assert (state["transport"], state["topics"]) == (TRANSPORTS[kind], ["a"])
            listed = (await node.http.get("/connections")).json()
            assert [each["id"] for each in listed["connections"]] == [connection.id]
            assert listed["active"] == 1
            assert listed["by_transport"] == {TRANSPORTS[kind]: 1}
            only = (await node.http.get("/connections", params={"id": connection.id})).json()
            assert [each["id"] for each in only["connections"]] == [connection.id]
            none = (await node.http.get("/connections", params={"id": "~0"})).json()
            assert (none["connections"], none["active"]) == ([], 1)
            check_problem(await node.http.get("/connections/nobody"), 404, "not-found", "id")


@on_each_transport
async def test_a_message_reaches_a_client_of_the_other_node(nodes: tuple[Api, Api], kind: str) -> None:
    first, second = nodes
    async with receiving(first.server, kind, client_id="tab") as (receiver, connection):
        body = {"data": {"text": "hello"}, "type": "notice"}
        answer = await second.http.post("/connections/tab/send", json=body)
        assert (answer.status_code, answer.json()) == (202, {"id": connection.id})
        assert await receiver.message() == ("notice", {"text": "hello"})
    answer = await second.http.post("/connections/nobody/send", json=body)
    check_problem(answer, 404, "not-found", "id")


@on_each_transport
async def test_a_client_is_closed_by_the_other_node(nodes: tuple[Api, Api], kind: str) -> None:
    first, second = nodes
    async with receiving(first.server, kind) as (receiver, connection):
        assert (await second.http.delete(f"/connections/{connection.id}")).status_code == 204
        assert await receiver.closing() == {"reason": "closed"}
        await until(lambda: first.server.streamd.connections.get(connection.id) is None)
    answer = await second.http.delete(f"/connections/{connection.id}")
    check_problem(answer, 404, "not-found", "id")


@pytest.mark.parametrize(
    ("filter", "sent"),
    [
        ({}, 3),
        ({"topic": "a"}, 2),
        ({"pattern": "*/c"}, 1),
        ({"transport": "websocket"}, 1),
        ({"client_id": "tab"}, 1),
        ({"user": "nobody"}, 0),
    ],
)
async def test_a_broadcast_counts_the_clients_of_both_nodes(
    nodes: tuple[Api, Api], filter: dict[str, str], sent: int
) -> None:
    first, second = nodes
    async with receiving(first.server, "WebSocket"), receiving(second.server, "HTTP/2", client_id="tab"):
        async with open_stream(first.server.url, topics=["b/c"]):
            for node in nodes:
                answer = await node.http.post("/connections/broadcast", json={"data": 1, "filter": filter})
                assert answer.json() == {"sent": sent, "full": 0}


async def test_a_client_that_changes_to_the_other_node_replaces_its_connection(
    nodes: tuple[Api, Api],
) -> None:
    first, second = nodes
    async with open_stream(first.server.url, topics=["a"], client_id="tab") as before:
        secret = str((await before.next_control("connected"))["resume_secret"])
        async with open_stream(second.server.url, topics=["a"], client_id="tab") as stranger:
            assert (await stranger.next_control("connected"))["resume_secret"] != secret
            async with open_stream(
                second.server.url, topics=["a"], client_id="tab", resume_secret=secret
            ) as after:
                assert (await after.next_control("connected"))["resume_secret"] == secret
                assert (await before.next_control("closing"))["reason"] == "replaced"
                assert len((await first.http.get("/connections")).json()["connections"]) == 2


async def test_the_streams_of_a_service_are_counted_over_both_nodes() -> None:
    sentiment = SentimentSettings()
    stream = attrs.evolve(sentiment.stream, max_connections=2)
    settings = Settings(**NO_SERVICES | {"sentiment": attrs.evolve(sentiment, enabled=True, stream=stream)})
    path = "/api/v2/stream"
    async with two_nodes(settings) as (first, second):

        async def counted(node: Api) -> int:
            return int((await node.http.get(f"{path}/status")).json()["connections"])

        async with open_stream(first.server.url, path=path), open_stream(second.server.url, path=path):
            for node in (first, second):
                while await counted(node) < 2:
                    pass
                with pytest.raises(StreamRefused) as refused:
                    async with open_stream(node.server.url, path=path):
                        pass
                assert refused.value.status == 503
                assert TooManyConnections.code in str(refused.value.body)
        while await counted(first):
            pass


async def test_a_node_that_shuts_down_is_left_out_at_once(nodes: tuple[Api, Api]) -> None:
    first, _ = nodes
    settings = first.server.streamd.settings
    assert isinstance(settings, Settings)
    async with serving_api(settings) as third:
        async with receiving(third.server, "HTTP/1.1", client_id="tab"):
            assert (await first.http.get("/connections/tab")).status_code == 200
    check_problem(await first.http.get("/connections/tab"), 404, "not-found", "id")
    assert (await first.http.get("/connections")).json()["active"] == 0
