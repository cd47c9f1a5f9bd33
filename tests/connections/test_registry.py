"""Admission, the operations of programs, graceful shutdown, and the sweeper."""

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pytest
import trio

from streamd.connections import Connection, Health, Identity, Registry, sweep_connections
from streamd.connections.settings import ConnectionSettings
from streamd.errors import InvalidField, NotFound, ShuttingDown, TooManyConnections, TooManyForCaller
from streamd.events import Batch, Control, CursorMove, EventId, Frame, Selectors
from streamd.hub import SendQueue, Subscription
from streamd.limits import AddressCounting
from streamd.metrics import Metrics
from streamd.proxies import TrustedProxies
from tests.support.odd_texts import INVALID_IDENTIFIERS, VALID_IDENTIFIERS

HEAD = EventId("1700000000000-000007")
SETTINGS = ConnectionSettings(max_connections=3, max_per_address=2, unhealthy_seconds=30, stale_seconds=120)


def make(settings: ConnectionSettings = SETTINGS) -> tuple[Registry, Metrics]:
    metrics = Metrics(max_type_labels=5)
    return Registry(settings, metrics), metrics


@contextmanager
def admit(
    registry: Registry, user: str = "", address: str = "", client_id: str | None = None, **options: Any
) -> Iterator[Connection]:
    with registry.admit(
        "sse",
        Identity(user, address),
        SendQueue(8, 1000),
        client_id=client_id,
        **options,
    ) as connection:
        yield connection


def reason(connection: Connection) -> object:
    """Return the reason of its ``closing``; None while it is open."""
    return None if connection.closing is None else connection.closing.data["reason"]


def names(frames: Sequence[Frame]) -> list[str]:
    return [f.name if isinstance(f, Control) else type(f).__name__ for f in frames]


async def test_slots_are_limited_and_free_again_at_once() -> None:
    registry, metrics = make()
    with admit(registry), admit(registry):
        with admit(registry):
            with pytest.raises(TooManyConnections) as rejected, admit(registry):
                pass
            assert rejected.value.retry_after_seconds == SETTINGS.retry_after_seconds
        with admit(registry):
            assert registry.statistics()["active"] == 3
    assert registry.statistics()["total"] == 4
    assert (
        metrics.registry.get_sample_value(
            "streamd_connections_refused_total", {"code": "too-many-connections"}
        )
        == 1
    )


async def test_a_user_has_a_limit_of_its_own_at_all_addresses() -> None:
    registry, metrics = make(ConnectionSettings(max_per_user=2, max_per_address=3))
    with admit(registry, "ann", "192.0.2.1"), admit(registry, "ann", "192.0.2.2"):
        with pytest.raises(TooManyForCaller, match="this user"), admit(registry, "ann", "192.0.2.3"):
            pass
        with admit(registry, "bob", "192.0.2.1"), admit(registry, "", "192.0.2.1"):
            with pytest.raises(TooManyForCaller, match="this address"), admit(registry, "eve", "192.0.2.1"):
                pass
    with admit(registry, "ann", "192.0.2.1"):
        assert dict(registry.by_caller) == {"192.0.2.1": 1, "user:ann": 1}
    assert not registry.by_caller
    assert (
        metrics.registry.get_sample_value(
            "streamd_connections_refused_total", {"code": "too-many-for-caller"}
        )
        == 2
    )


@pytest.mark.parametrize(
    ("addresses", "limited"),
    [
        (["2001:db8::1", "2001:db8::2", "2001:db8::3"], True),  # one /64
        (["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"], True),
        (["2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:3::1"], False),
        (["127.0.0.1"] * 3, False),
        (["::1"] * 3, False),
        (["10.0.0.1"] * 3, False),  # the trusted proxy
        ([""] * 3, False),  # a Unix socket
    ],
)
async def test_the_addresses_that_count_as_one(addresses: list[str], limited: bool) -> None:
    registry, _ = make()
    registry.address_counting = AddressCounting(TrustedProxies.create(["10.0.0.0/24"]))
    first, second, third = addresses
    with admit(registry, address=first), admit(registry, address=second):
        try:
            with admit(registry, address=third):
                assert not limited
        except TooManyForCaller:
            assert limited


async def test_an_address_has_a_limit_of_its_own() -> None:
    registry, _ = make()
    with admit(registry, address="10.0.0.1"), admit(registry, address="10.0.0.1"):
        with pytest.raises(TooManyForCaller), admit(registry, address="10.0.0.1"):
            pass
        with admit(registry, address="10.0.0.2"):
            pass
    with admit(registry, address="10.0.0.1"):
        pass


async def test_a_connection_replaces_that_of_the_same_user_and_client_id_which_is_told() -> None:
    registry, _ = make()
    with admit(registry, user="ann", client_id="tab") as first:
        with admit(registry, user="bob", client_id="tab"), admit(registry, client_id="tab"):
            assert reason(first) is None  # the client id of another user is another client
        with admit(registry, user="ann", client_id="tab") as second:
            assert reason(first) == "replaced"
            assert first.closing is not None
            assert first.closing.retry_ms == 86_400_000  # a day, or the two would replace each other for ever
            assert registry.find("tab", user="ann") is second
    with pytest.raises(NotFound):
        registry.find("tab", user="ann")


@pytest.mark.parametrize("client_id", VALID_IDENTIFIERS)
async def test_a_client_id_may_be_any_identifier(client_id: str) -> None:
    registry, _ = make()
    with admit(registry, client_id=client_id):
        assert registry.find(client_id).client_id == client_id


async def test_nobody_can_take_the_id_of_a_connection_as_a_client_id() -> None:
    registry, _ = make()
    with admit(registry) as former:
        pass
    with pytest.raises(InvalidField, match="must not begin with '~'") as rejected:
        registry.admit("sse", Identity(), SendQueue(8, 1000), client_id=former.id)
    assert rejected.value.field == "client_id"
    with pytest.raises(NotFound):
        registry.send(former.id, Control("hello", {}))


@pytest.mark.parametrize("client_id", ["", "x" * 129, "~", "~ann", *INVALID_IDENTIFIERS])
async def test_a_client_id_must_be_a_short_identifier(client_id: str) -> None:
    registry, _ = make()
    with pytest.raises(InvalidField) as rejected, admit(registry, client_id=client_id):
        pass
    assert rejected.value.field == "client_id"
    assert registry.statistics()["active"] == 0


async def test_programs_can_send_broadcast_close_and_read_the_status() -> None:
    registry, _ = make()
    with admit(registry, client_id="a") as a, admit(registry, client_id="b") as b:
        hello, all_ = Control("hello"), Control("all")
        assert registry.send("a", hello)
        assert (await registry.broadcast(all_)).sent == 2
        assert (await registry.broadcast(hello, lambda connection: connection.client_id == "b")).sent == 1
        assert names(a.send_queue.drain()) == ["hello", "all"]
        assert names(b.send_queue.drain()) == ["all", "hello"]
        for _ in range(8):
            assert registry.send("a", hello)
        assert not registry.send("a", hello)  # its send queue is full
        assert registry.status("a")["waiting"] == 8
        registry.close("b")
        assert b.closing is not None
        assert not registry.send("b", hello)
        for operation in (registry.close, registry.status):
            with pytest.raises(NotFound):
                operation("unknown")


async def test_a_drain_tells_all_connections_waits_and_aborts_those_that_stay(
    autojump_clock: trio.testing.MockClock,
) -> None:
    registry, _ = make()
    aborted: list[str] = []
    with admit(registry, client_id="stays") as stays:
        stays.abort_transport = lambda: aborted.append("stays")
        with admit(registry, client_id="leaves") as leaves:
            leaves.abort_transport = lambda: aborted.append("leaves")
            async with trio.open_nursery() as nursery:
                began = trio.current_time()
                nursery.start_soon(registry.drain, 10.0)
                await trio.testing.wait_all_tasks_blocked()
                for connection in (stays, leaves):
                    assert connection.closing is not None
                    retry_ms = connection.closing.retry_ms
                    assert retry_ms is not None
                    assert SETTINGS.retry_ms <= retry_ms <= SETTINGS.retry_ms + 10_000
                with pytest.raises(ShuttingDown), admit(registry):
                    pass
        assert trio.current_time() - began == 10
    assert aborted == ["stays", "leaves"]


class LevelSubscription:
    """A subscription that has read everything up to ``HEAD``."""

    selectors = Selectors()

    def level_cursor(self) -> EventId:
        return HEAD


class Swept:
    """A registry with a running sweeper."""

    def __init__(self, settings: ConnectionSettings, nursery: trio.Nursery) -> None:
        self.registry, self.metrics = make(settings)
        nursery.start_soon(sweep_connections, self.registry, settings, self.metrics)


async def test_quiet_connections_get_heartbeats_and_the_position_they_have_read_up_to(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        registry = Swept(ConnectionSettings(), nursery).registry
        with admit(registry, heartbeat_seconds=15) as quiet, admit(registry, heartbeat_seconds=15) as busy:
            quiet.subscription = cast(Subscription, LevelSubscription())
            for _ in range(4):
                await trio.sleep(5)
                busy.sent.add(Batch([]), 10, trio.current_time())
            assert names(quiet.send_queue.drain()) == ["heartbeat", "CursorMove"]
            assert names(busy.send_queue.drain()) == []
            quiet.sent.add(Batch([CursorMove(HEAD)]), 10, trio.current_time())
            await trio.sleep(17)
            assert names(quiet.send_queue.drain()) == ["heartbeat"]  # the client has that cursor already
        with admit(registry, heartbeat_seconds=15, heartbeat_always=True) as always:
            for _ in range(10):
                await trio.sleep(5)
                always.sent.add(Batch([]), 10, trio.current_time())
            assert names(always.send_queue.drain()) == ["heartbeat"] * 3
        with admit(registry) as poll:
            await trio.sleep(100)
            assert names(poll.send_queue.drain()) == []
        nursery.cancel_scope.cancel()


class SilentWire:
    """The wire of a peer that takes no bytes."""

    def write_nowait(self, batch: Batch) -> int:
        return 0

    async def write(self, batch: Batch) -> int:
        await trio.sleep_forever()

    def release(self) -> None:
        pass


async def test_a_connection_whose_write_makes_no_progress_is_unhealthy_then_stale_then_aborted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        swept = Swept(ConnectionSettings(), nursery)
        aborted = trio.Event()
        with admit(swept.registry) as connection:
            connection.abort_transport = aborted.set

            async def write() -> None:
                with connection.stoppable():
                    await connection.write(SilentWire(), Batch([Control("x")]))

            nursery.start_soon(write)
            for seconds, health in ((29, Health.HEALTHY), (2, Health.UNHEALTHY), (88, Health.UNHEALTHY)):
                await trio.sleep(seconds)
                assert connection.health is health
            assert swept.registry.statistics()["by_health"]["unhealthy"] == 1
            await trio.sleep(3)
            assert aborted.is_set()
            assert connection.stalled_seconds == 0  # the write was cancelled
        assert swept.metrics.registry.get_sample_value("streamd_connections_reaped_total") == 1
        nursery.cancel_scope.cancel()


async def test_a_lifetime_ends_with_closing_within_its_jitter(
    autojump_clock: trio.testing.MockClock,
) -> None:
    settings = ConnectionSettings(max_lifetime_seconds=100, lifetime_jitter=0.2)
    async with trio.open_nursery() as nursery:
        registry = Swept(settings, nursery).registry
        with admit(registry) as connection:
            await trio.sleep(79)
            assert reason(connection) is None
            await trio.sleep(23)
            assert reason(connection) == "lifetime"
        nursery.cancel_scope.cancel()


async def test_the_sweeper_keeps_no_connection_between_sweeps(
    autojump_clock: trio.testing.MockClock,
) -> None:
    settings = ConnectionSettings()
    async with trio.open_nursery() as nursery:
        registry = Swept(settings, nursery).registry
        with admit(registry) as connection:
            await trio.sleep(1.5 * settings.sweep_seconds)
            released = weakref.ref(connection)
        del connection
        assert released() is None  # freed without the collector: it is part of no cycle
        nursery.cancel_scope.cancel()
