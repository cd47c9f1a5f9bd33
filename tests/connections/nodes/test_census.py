"""The census of several nodes: lists, states and operations, whichever node is asked."""

import math
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
import trio

from streamd.connections import ConnectionFilter
from streamd.connections.nodes import messages
from streamd.connections.settings import ConnectionSettings
from streamd.errors import ConnectionClosing, NotFound, OutcomeUnknown, SendQueueFull, Unavailable
from streamd.events import Pattern, UnloggedEvent
from tests.support.connection_nodes import NodeRig, closing_reason, open_nodes
from tests.support.redis_links import open_link
from tests.support.redis_servers import RedisServer, new_prefix
from tests.support.waiting import until

MESSAGE = UnloggedEvent({"text": "hello"}, type="notice")


@pytest.fixture
def prefix() -> str:
    return new_prefix()


@pytest.fixture
async def nodes(prefix: str) -> AsyncIterator[list[NodeRig]]:
    async with open_nodes(prefix, 3) as nodes:
        yield nodes


async def never_answer(_: object) -> object:
    return await trio.sleep_forever()


async def test_every_node_lists_the_connections_of_all(nodes: list[NodeRig]) -> None:
    with ExitStack() as stack:
        opened = [stack.enter_context(node.admit(f"tab-{index}")) for index, node in enumerate(nodes)]
        for index, connection in enumerate(opened):
            connection.opened_at += timedelta(seconds=index)
        opened[1].errors = 2
        for node in nodes:
            listing = await node.census.list(100)
            assert [each["id"] for each in listing.connections] == [each.id for each in opened]
            statistics = listing.totals.statistics()
            assert (statistics["active"], statistics["total"], statistics["errors"]) == (3, 3, 2)
            assert statistics["by_transport"] == {"sse": 3}
            assert statistics["by_health"] == {"healthy": 2, "unhealthy": 1, "stale": 0}
            assert statistics["max_connections"] == 3 * ConnectionSettings().max_connections
            assert [each["id"] for each in (await node.census.list(2)).connections] == [
                each.id for each in opened[:2]
            ]
            only = await node.census.list(100, opened[2].id)
            assert [each["client_id"] for each in only.connections] == ["tab-2"]
            assert only.totals.active == 3
    assert (await nodes[0].census.list(100)).totals.total == 3


async def test_the_state_is_found_on_another_node(nodes: list[NodeRig]) -> None:
    with nodes[0].admit("tab") as connection, nodes[1].admit("tab", user="ann") as of_ann:
        for node in nodes:
            assert (await node.census.status(connection.id))["id"] == connection.id
            assert (await node.census.status("tab"))["id"] == connection.id
            assert (await node.census.status("tab", user="ann"))["id"] == of_ann.id
            assert (await node.census.status(of_ann.id, user="ann"))["id"] == of_ann.id
            for id, user in [("other", ""), ("~0", ""), (of_ann.id, "bob"), ("tab", "bob")]:
                with pytest.raises(NotFound):
                    await node.census.status(id, user=user)


async def test_the_newest_connection_has_the_client_id(nodes: list[NodeRig]) -> None:
    with nodes[0].admit("tab") as first:
        first.opened -= 5
        with nodes[1].admit("tab") as second:
            for node in nodes:
                assert (await node.census.status("tab"))["id"] == second.id
        for node in nodes:
            assert (await node.census.status("tab"))["id"] == first.id


@pytest.mark.parametrize("data", [{"n": 1.50}, "two\nlines", '"quoted"', b"\x00\xff", None])
async def test_a_message_reaches_a_client_of_another_node(nodes: list[NodeRig], data: object) -> None:
    message = UnloggedEvent(data, type="notice")
    with nodes[0].admit("tab") as connection, nodes[0].admit("other") as other:
        assert await nodes[1].census.send("tab", message) == connection.id
        [received] = connection.send_queue.drain()
        assert isinstance(received, UnloggedEvent)
        assert (received.json, received.sse) == (message.json, message.sse)
        assert other.send_queue.drain() == []


async def test_a_message_is_refused_as_on_the_own_node(nodes: list[NodeRig]) -> None:
    with nodes[0].admit("tab", capacity=1) as connection:
        for node in nodes:
            await node.census.send("tab", MESSAGE)
            with pytest.raises(SendQueueFull, match=connection.id) as full:
                await node.census.send("tab", MESSAGE)
            assert full.value.retry_after_seconds == ConnectionSettings().retry_after_seconds
            connection.send_queue.drain()
        connection.close("because")
        for node in nodes:
            with pytest.raises(ConnectionClosing, match=connection.id):
                await node.census.send("tab", MESSAGE)
    for node in nodes:
        with pytest.raises(NotFound, match="'tab'"):
            await node.census.send("tab", MESSAGE)


async def test_a_connection_is_closed_by_another_node(nodes: list[NodeRig]) -> None:
    with nodes[0].admit("tab") as connection, nodes[0].admit() as other:
        await nodes[1].census.close(connection.id, reason="enough")
        assert closing_reason(connection) == "enough"
        assert other.is_open
        await nodes[2].census.close(other.id)
        assert closing_reason(other) == "closed"
    with pytest.raises(NotFound):
        await nodes[1].census.close(connection.id)


async def test_a_broadcast_reaches_the_selected_connections_of_all_nodes(nodes: list[NodeRig]) -> None:
    with ExitStack() as stack:
        of_ann = [stack.enter_context(node.admit(user="ann")) for node in nodes]
        others = [stack.enter_context(node.admit()) for node in nodes]
        stack.enter_context(nodes[1].admit(user="ann", capacity=1)).send(MESSAGE)
        outcome = await nodes[0].census.broadcast(MESSAGE, ConnectionFilter(user="ann"))
        assert (outcome.sent, outcome.full) == (3, 1)
        assert [len(each.send_queue.drain()) for each in of_ann] == [1, 1, 1]
        assert [len(each.send_queue.drain()) for each in others] == [0, 0, 0]


@pytest.mark.parametrize(
    "where",
    [
        ConnectionFilter(),
        ConnectionFilter(transport="poll", topic="a/b", pattern=Pattern("a/*"), user="", client_id="~1"),
    ],
)
def test_a_filter_keeps_its_conditions_on_the_way(where: ConnectionFilter) -> None:
    text = messages.encode(messages.encode_filter(where))
    assert messages.decode_filter(msgspec.json.decode(text, type=dict[str, str])) == where


async def test_a_node_that_ends_is_left_out_at_once(nodes: list[NodeRig]) -> None:
    with nodes[0].admit("tab") as connection, nodes[1].admit():
        await nodes[1].stop()
        for node in (nodes[0], nodes[2]):
            assert [each["id"] for each in (await node.census.list(100)).connections] == [connection.id]
            with pytest.raises(NotFound):
                await node.census.status("other")


async def test_a_node_that_does_not_answer_is_left_out(prefix: str) -> None:
    async with open_nodes(prefix) as [first, second]:
        with first.admit("near") as near, second.admit("far"):
            assert (await first.census.status("far"))["client_id"] == "far"
            second.node.channel.answer = never_answer
            first.node.channel.answer_seconds = 0.1
            assert [each["id"] for each in (await first.census.list(100)).connections] == [near.id]
            assert (await first.census.broadcast(MESSAGE, ConnectionFilter())).sent == 1
            assert (await first.census.status("near"))["id"] == near.id
            assert (await first.census.status(near.id))["id"] == near.id
            with pytest.raises(Unavailable, match="another node"):
                await first.census.status("far")


async def test_a_node_that_is_silent_is_not_waited_for(prefix: str) -> None:
    async with open_nodes(prefix, answer_seconds=math.inf) as [first, second]:
        with second.admit("far") as far:
            async with open_link() as link, trio.open_nursery() as nursery:
                subscribed = trio.Event()
                nursery.start_soon(link.listen, [f"{prefix}:nodes:0"], lambda *_: None, subscribed.set)
                await subscribed.wait()
                assert [each["id"] for each in (await first.census.list(100)).connections] == [far.id]
                with pytest.raises(NotFound):
                    await first.census.status("nowhere")
                nursery.cancel_scope.cancel()


async def test_a_message_whose_node_does_not_answer_has_an_unknown_outcome(prefix: str) -> None:
    async with open_nodes(prefix, answer_seconds=math.inf) as [first, second]:
        with second.admit("tab") as connection:
            find = second.census.answer

            async def find_only(request: messages.NodeRequest) -> object:
                is_find = isinstance(request, messages.FindConnection)
                first.node.channel.answer_seconds = 0.1 if is_find else math.inf  # for the next question
                return await find(request) if is_find else await trio.sleep_forever()

            second.node.channel.answer = find_only
            with pytest.raises(OutcomeUnknown):
                await first.census.send("tab", MESSAGE)
            with pytest.raises(Unavailable):
                await first.census.close("tab")
            assert connection.is_open


async def test_a_caller_does_not_wait_for_answers_that_cannot_arrive(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        async with open_nodes("{lost}", address=server.address, answer_seconds=math.inf) as [first, second]:
            asked = trio.Event()

            async def note_question(_: object) -> object:
                asked.set()
                return await trio.sleep_forever()

            second.node.channel.answer = note_question
            with first.admit("near") as near:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(lists, first, [near.id])
                    await asked.wait()
                    server.kill()
    finally:
        server.kill()


async def lists(node: NodeRig, ids: list[str]) -> None:
    """Check the list of a node."""
    assert [each["id"] for each in (await node.census.list(100)).connections] == ids


async def test_messages_of_other_versions_are_skipped(prefix: str, nodes: list[NodeRig]) -> None:
    odd = [
        b"",
        b"\xff",
        b"[]",
        b'{"type": "future", "node": "x"}',
        b'{"type": "question", "node": "x", "number": 1, "request": {"type": "future"}}',
        b'{"type": "answer", "node": "x", "number": 1, "body": 1}',
    ]
    async with open_link() as link:
        for text in odd:
            assert await link.call(b"PUBLISH", f"{prefix}:nodes:0", text) == len(nodes)
    with nodes[0].admit("tab") as connection:
        assert (await nodes[1].census.status("tab"))["id"] == connection.id


async def test_a_node_goes_on_alone_while_redis_is_away_and_comes_back(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        async with open_nodes("{away}", address=server.address) as [first, second]:
            with first.admit("near") as near, second.admit("far") as far:
                server.kill()
                await until(lambda: not (first.node.channel.is_open or second.node.channel.is_open))
                assert [each["id"] for each in (await first.census.list(100)).connections] == [near.id]
                assert (await first.census.status("near"))["id"] == near.id
                assert await first.census.send("near", MESSAGE) == near.id
                assert (await first.census.broadcast(MESSAGE, ConnectionFilter())).sent == 1
                with pytest.raises(Unavailable):
                    await first.census.status("far")
                server.start()
                await until(lambda: first.node.channel.is_open and second.node.channel.is_open)
                assert (await first.census.status("far"))["id"] == far.id
    finally:
        server.kill()
