"""A client that connects to another node replaces the connection that it has."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio.testing

from streamd.connections import Connection
from tests.support.connection_nodes import NodeRig, closing_reason, open_nodes, settle
from tests.support.redis_servers import RedisServer, new_prefix
from tests.support.waiting import until


@pytest.fixture
async def nodes() -> AsyncIterator[list[NodeRig]]:
    async with open_nodes(new_prefix(), 3) as nodes:
        yield nodes


def secret_of(node: NodeRig, connection: Connection) -> str:
    secret = node.registry.resume_secret(connection)
    assert secret is not None
    return secret


async def replaced(connection: Connection) -> None:
    """Wait until a connection is replaced."""
    await until(lambda: closing_reason(connection) == "replaced")


async def test_a_user_replaces_the_own_connection_on_another_node(nodes: list[NodeRig]) -> None:
    first, second, third = nodes
    with first.admit("tab", user="ann") as one, first.admit("tab", user="bob") as of_bob:
        await first.announced()
        with second.admit("tab", user="ann") as two:
            await replaced(one)
            await second.announced()
            assert one.closing is not None
            assert one.closing.retry_ms == 86_400_000
            with third.admit("tab", user="ann") as three:
                await replaced(two)
                with third.admit("tab", user="ann") as four:
                    assert closing_reason(three) == "replaced"
                    await settle(nodes)
                    assert four.is_open
                    assert of_bob.is_open


async def test_an_anonymous_client_needs_its_secret_on_every_node(nodes: list[NodeRig]) -> None:
    first, second, third = nodes
    with first.admit("tab") as owner, first.admit("tab") as other:
        secret = secret_of(first, owner)
        with second.admit("tab") as stranger, second.admit("else", resume_secret=secret) as elsewhere:
            await settle(nodes)
            assert owner.is_open
            with third.admit("tab", resume_secret=secret) as owner_again:
                await replaced(owner)
                assert secret_of(third, owner_again) == secret
                await settle(nodes)
                for connection in (owner_again, other, stranger, elsewhere):
                    assert connection.is_open


async def test_one_of_two_simultaneous_connections_survives(nodes: list[NodeRig]) -> None:
    for _ in range(20):
        with ExitStack() as stack:
            opened = [stack.enter_context(node.admit("tab", user="ann")) for node in nodes]
            await settle(nodes)
            assert sum(each.is_open for each in opened) == 1


async def test_a_connection_that_has_ended_has_replaced_the_one_before(nodes: list[NodeRig]) -> None:
    with nodes[0].admit("tab", user="ann") as one:
        await nodes[0].announced()
        with nodes[1].admit("tab", user="ann"):
            pass
        await replaced(one)


async def test_after_a_time_without_redis_the_youngest_connection_stays(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        async with open_nodes("{away}", address=server.address) as [first, second]:
            with first.admit("before", user="ann") as before, ExitStack() as stack:
                server.kill()
                await until(lambda: not (first.node.channel.is_open or second.node.channel.is_open))
                pairs = []
                for index in range(20):
                    [old_node, new_node] = [first, second] if index % 2 else [second, first]
                    old = stack.enter_context(old_node.admit(f"tab-{index}", user="ann"))
                    old.opened -= 5
                    pairs.append((old, stack.enter_context(new_node.admit(f"tab-{index}", user="ann"))))
                server.start()
                for old, _ in pairs:
                    await replaced(old)
                await until(lambda: first.node.channel.is_open and second.node.channel.is_open)
                await settle([first, second])
                assert all(new.is_open for _, new in pairs)
                assert before.is_open
    finally:
        server.kill()


async def test_all_nodes_issue_secrets_by_one_key_also_after_redis_lost_it(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        async with open_nodes("{key}", address=server.address) as [first, second]:
            with first.admit("tab") as owner:
                secret = secret_of(first, owner)
                server.kill()
                await until(lambda: not (first.node.channel.is_open or second.node.channel.is_open))
                server.start()
                await until(lambda: first.node.channel.is_open and second.node.channel.is_open)
                with second.admit("tab", resume_secret=secret) as again:
                    await replaced(owner)
                    assert secret_of(second, again) == secret
    finally:
        server.kill()


async def test_opening_does_not_wait(nodes: list[NodeRig]) -> None:
    with trio.testing.assert_no_checkpoints():
        with nodes[0].admit("tab", user="ann"):
            pass
