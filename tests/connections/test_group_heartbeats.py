"""Groups of connections: their heartbeats' own fields, and their lifetime."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import pytest
import trio
import trio.testing

from streamd.connections import Connection, Group, Identity, Registry, sweep_connections
from streamd.connections.settings import ConnectionSettings
from streamd.events import Control, Frame
from streamd.hub import SendQueue
from streamd.metrics import Metrics


def admit(registry: Registry, group: Group | None) -> Connection:
    return registry.admit("sse", Identity(), SendQueue(100, 100_000), heartbeat_seconds=15, group=group)


def heartbeats(connection: Connection) -> list[Control]:
    frames: list[Frame] = connection.send_queue.drain()
    return [frame for frame in frames if isinstance(frame, Control) and frame.name == "heartbeat"]


async def test_a_group_adds_its_fields_to_one_heartbeat_shared_by_its_connections(
    autojump_clock: trio.testing.MockClock,
) -> None:
    calls = 0

    def count(group: Group) -> Mapping[str, Any]:
        nonlocal calls
        calls += 1
        return {"connections": len(group)}

    settings, metrics = ConnectionSettings(), Metrics(max_type_labels=10)
    registry, group, plain = (
        Registry(settings, metrics),
        Group("counts", heartbeat_fields=count),
        Group("plain"),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sweep_connections, registry, settings, metrics)
        with ExitStack() as stack:
            admitted = [stack.enter_context(admit(registry, of)) for of in (group, group, plain, None)]
            await trio.sleep(16.5)
            [[one], [two], [three], [four]] = map(heartbeats, admitted)
            assert one is two
            assert three is four
            assert calls == 1
            assert one.data == {"timestamp": three.data["timestamp"], "connections": 2}
            assert three.data.keys() == {"timestamp"}
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("others", [0, 1])
async def test_the_lifetime_of_a_group_applies_to_its_first_connection_too(
    others: int, autojump_clock: trio.testing.MockClock
) -> None:
    registry = Registry(ConnectionSettings(), Metrics(max_type_labels=10))
    group = Group("short", max_lifetime_seconds=100, lifetime_jitter=0.1)
    with ExitStack() as stack:
        for _ in range(others):
            stack.enter_context(admit(registry, group))
        connection = stack.enter_context(admit(registry, group))
        assert 90 <= connection.expires - trio.current_time() <= 100
