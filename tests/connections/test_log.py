"""The log lines of connections: their start and end, rejections and reaping."""

from collections import Counter

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from structlog.typing import EventDict

from streamd.connections import Identity, Registry, sweep_connections
from streamd.connections.settings import ConnectionSettings
from streamd.errors import TooManyConnections
from streamd.events import Batch, DataEncoding, Event, EventId
from streamd.hub import SendQueue
from streamd.hub.delivery import MAX_TYPES, DeliveryRecord
from streamd.metrics import Metrics

SETTINGS = ConnectionSettings(max_connections=1, stale_seconds=120)


def make_registry() -> tuple[Registry, Metrics]:
    metrics = Metrics(max_type_labels=5)
    return Registry(SETTINGS, metrics), metrics


def event(type: str, number: int) -> Event:
    return Event(EventId(f"{number:013d}-000000"), ("t",), type, "x", DataEncoding.TEXT)


def lines(logs: list[EventDict], event: str) -> list[EventDict]:
    return [entry for entry in logs if entry["event"] == event]


async def test_start_and_end_are_one_line_each(autojump_clock: trio.testing.MockClock) -> None:
    registry, _ = make_registry()
    with capture_logs() as logs:
        with registry.admit("sse", Identity("ann", "10.0.0.1"), SendQueue(8, 1000)) as connection:
            connection.sent.add(Batch([event("a", 1), event("a", 2), event("b", 3)]), 90, 0.0)
            connection.sent.add(Batch([event("a", 4)]), 10, 0.0)
            await trio.sleep(7)
            connection.close("maintenance")
        [opened], [closed] = lines(logs, "connection_opened"), lines(logs, "connection_closed")
    assert opened["log_level"] == closed["log_level"] == "info"
    for line in (opened, closed):
        assert (line["connection"], line["transport"], line["user"]) == (connection.id, "sse", "ann")
    assert (closed["seconds"], closed["bytes"]) == (7, 100)
    assert closed["events"] == {"a": 3, "b": 1}
    assert closed["reason"] == "maintenance"


async def test_a_client_that_leaves_is_disconnected_and_a_poll_is_a_debug_line() -> None:
    registry, _ = make_registry()
    with capture_logs() as logs, registry.admit("poll", Identity(), SendQueue(8, 1000)) as connection:
        connection.mark_disconnected()
        connection.close("shutdown")
    [closed] = lines(logs, "connection_closed")
    assert (closed["reason"], closed["log_level"]) == ("disconnected", "debug")


async def test_a_rejected_connection_is_a_line_with_its_code() -> None:
    registry, _ = make_registry()
    with registry.admit("sse", Identity(), SendQueue(8, 1000)), capture_logs() as logs:
        with (
            pytest.raises(TooManyConnections),
            registry.admit("sse", Identity(address="10.0.0.2"), SendQueue(8, 1000)),
        ):
            pass
    [rejected] = logs
    assert (rejected["event"], rejected["code"]) == ("connection_rejected", "too-many-connections")
    assert rejected["address"] == "10.0.0.2"


async def test_a_reaped_connection_is_a_warning_and_its_end_is_stale(
    autojump_clock: trio.testing.MockClock,
) -> None:
    registry, metrics = make_registry()
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sweep_connections, registry, SETTINGS, metrics)
            with registry.admit("sse", Identity(), SendQueue(8, 1000)) as connection:
                connection.stalled_since = trio.current_time()
                with connection.stoppable():
                    await trio.sleep_forever()
            nursery.cancel_scope.cancel()
    [reaped], [closed] = lines(logs, "connection_reaped"), lines(logs, "connection_closed")
    assert reaped["log_level"] == "warning"
    assert reaped["connection"] == closed["connection"] == connection.id
    assert reaped["stalled_seconds"] >= 120
    assert closed["reason"] == "stale"


def test_the_types_that_one_record_counts_apart_are_bounded() -> None:
    record = DeliveryRecord(0.0)
    for number in range(MAX_TYPES + 5):
        record.add(Batch([event(f"type-{number}", number)]), 1, 0.0)
    types = record.types
    assert types.pop("other") == 5
    assert len(types) == MAX_TYPES
    assert sum(types.values()) == MAX_TYPES
    assert record.events == MAX_TYPES + 5


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c"]), max_size=4), max_size=20))
def test_runs_and_mixtures_of_types_are_counted(batches: list[list[str]]) -> None:
    record = DeliveryRecord(0.0)
    for number, types in enumerate(batches):
        record.add(Batch([event(type, number) for type in types]), 1, 0.0)
        if number % 5 == 0:
            assert record.events == sum(map(len, batches[: number + 1]))
            assert sum(record.types.values()) == record.events
    assert record.types == Counter(type for types in batches for type in types)
    assert record.events == sum(map(len, batches))
