"""Broadcasts: the conditions of a filter, and turns that let other trio tasks run."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import cast

import attrs
import pytest
import trio

from streamd.connections import (
    BroadcastOutcome,
    Connection,
    ConnectionFilter,
    Identity,
    Registry,
)
from streamd.connections.broadcast import broadcast_in_turns
from streamd.connections.settings import ConnectionSettings
from streamd.events import Control, Pattern, Selectors, UnloggedEvent
from streamd.hub import SendQueue, Subscription
from streamd.metrics import Metrics

MESSAGE = UnloggedEvent("hello", type="notice")
CAPACITY = 3


@attrs.frozen
class FixedSubscription:
    """A subscription that never changes."""

    selectors: Selectors

    def close(self) -> None:
        pass


def follow(connection: Connection, *topics: str, patterns: tuple[str, ...] = ()) -> None:
    """Let a connection follow these topics and patterns."""
    selectors = Selectors(topics, [Pattern(text) for text in patterns])
    connection.subscription = cast(Subscription, FixedSubscription(selectors))


@pytest.fixture
def registry() -> Registry:
    return Registry(ConnectionSettings(), Metrics(max_type_labels=5))


@pytest.fixture
async def clients(registry: Registry) -> AsyncIterator[dict[str, Connection]]:
    """Open connections of several kinds."""
    kinds = {
        "exact": ("sse", Identity("ann"), "tab", ("orders/7",), ()),
        "pattern": ("websocket", Identity("ann"), None, (), ("orders/*",)),
        "other": ("poll", Identity(), "tab", ("logs",), ()),
    }
    with ExitStack() as stack:
        connections = {}
        for name, (transport, identity, client_id, topics, patterns) in kinds.items():
            made = registry.admit(transport, identity, SendQueue(CAPACITY, 1000), client_id=client_id)
            follow(made, *topics, patterns=patterns)
            connections[name] = stack.enter_context(made)
        generated = registry.admit("sse", Identity(), SendQueue(CAPACITY, 1000))
        connections["generated"] = stack.enter_context(generated)  # no subscription
        yield connections


@pytest.mark.parametrize(
    ("where", "selected"),
    [
        (ConnectionFilter(), {"exact", "pattern", "other", "generated"}),
        (ConnectionFilter(transport="sse"), {"exact", "generated"}),
        (ConnectionFilter(topic="orders/7"), {"exact", "pattern"}),
        (ConnectionFilter(topic="orders/8"), {"pattern"}),
        (ConnectionFilter(topic="orders/*"), {"pattern"}),  # a topic of this name: `*` is a segment like any
        (ConnectionFilter(pattern=Pattern("orders/*")), {"exact", "pattern"}),
        (ConnectionFilter(pattern=Pattern("orders/**")), {"exact", "pattern"}),
        (ConnectionFilter(pattern=Pattern("logs/*")), set()),
        (ConnectionFilter(pattern=Pattern("*")), {"exact", "pattern", "other"}),
        (ConnectionFilter(user="ann"), {"exact", "pattern"}),
        (ConnectionFilter(user=""), {"other", "generated"}),
        (ConnectionFilter(client_id="tab"), {"exact", "other"}),
        (ConnectionFilter(client_id="tab", user="ann"), {"exact"}),
        (ConnectionFilter(client_id="tab", topic="orders/8"), set()),
    ],
)
async def test_a_filter_selects_by_all_of_its_conditions(
    registry: Registry, clients: dict[str, Connection], where: ConnectionFilter, selected: set[str]
) -> None:
    assert {name for name, connection in clients.items() if where(connection)} == selected
    outcome = await registry.broadcast(MESSAGE, where)
    assert outcome == BroadcastOutcome(sent=len(selected))
    for name, connection in clients.items():
        assert connection.send_queue.drain() == ([MESSAGE] if name in selected else [])


async def test_full_send_queues_are_counted_and_closing_connections_are_not(
    registry: Registry, clients: dict[str, Connection]
) -> None:
    for _ in range(CAPACITY):
        assert clients["exact"].send(Control("filler"))
    clients["pattern"].close("closed")
    clients["other"].mark_disconnected()
    outcome = await registry.broadcast(MESSAGE)
    assert outcome == BroadcastOutcome(sent=1, full=1)


async def test_messages_count_as_bytes_of_a_send_queue(registry: Registry) -> None:
    with registry.admit("sse", Identity(), SendQueue(100, 1000)) as connection:
        sent = 0
        while connection.send(UnloggedEvent("x" * 300)):
            sent += 1
        assert sent == 3


@contextmanager
def thousands(registry: Registry) -> Iterator[list[Connection]]:
    """Open 5000 connections, which end with the block."""
    with ExitStack() as stack:
        connections = [registry.admit("sse", Identity(), SendQueue(1, 1000)) for _ in range(5000)]
        for connection in connections:
            follow(connection, "a", patterns=("b/*", "c/**"))
            stack.enter_context(connection)
        yield connections


async def test_a_broadcast_to_thousands_lets_other_trio_tasks_run(registry: Registry) -> None:
    with thousands(registry) as connections:
        turns = 0
        async with trio.open_nursery() as nursery:

            async def count() -> None:
                nonlocal turns
                while True:
                    await trio.lowlevel.checkpoint()
                    turns += 1

            nursery.start_soon(count)
            outcome = await registry.broadcast(MESSAGE, ConnectionFilter(topic="c/1"))
            nursery.cancel_scope.cancel()
    assert outcome == BroadcastOutcome(sent=len(connections))
    assert turns > 1


async def test_a_shutdown_of_thousands_lets_other_trio_tasks_run(registry: Registry) -> None:
    with thousands(registry) as connections:
        open_then: list[int] = []  # the number of open connections in each turn of this trio task
        async with trio.open_nursery() as nursery:
            nursery.start_soon(registry.drain, 1e6)
            while not open_then or open_then[-1]:
                await trio.lowlevel.checkpoint()
                open_then.append(sum(connection.is_open for connection in connections))
            nursery.cancel_scope.cancel()
    assert any(0 < count < len(connections) for count in open_then)
    assert {connection.end_reason for connection in connections} == {"shutdown"}


async def test_connections_that_outlast_the_shutdown_are_aborted(registry: Registry) -> None:
    aborted: list[str] = []
    with thousands(registry) as connections:
        for connection in connections:
            connection.abort_transport = partial(aborted.append, connection.id)
        await registry.drain(0)
        assert all(connection.closing is not None for connection in connections), (
            "each is told when to return"
        )
    assert sorted(aborted) == sorted(connection.id for connection in connections)


async def test_a_connection_that_leaves_during_a_broadcast_is_not_counted(registry: Registry) -> None:
    with registry.admit("sse", Identity(), SendQueue(1, 1000)) as left:
        present = list(registry)
    assert not left.is_open
    outcome = await broadcast_in_turns(present, MESSAGE, ConnectionFilter())
    assert outcome == BroadcastOutcome()
