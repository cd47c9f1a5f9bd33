"""Health of the brand monitor's streams: unhealthy after 30 s without progress, reaped after 2 min."""

import attrs
import pytest
import trio
import trio.testing

from streamd.config import StreamSettings
from streamd.connections import Connection, Group, Identity, Registry, sweep_connections
from streamd.events import Batch, Control
from streamd.hub import SendQueue
from streamd.metrics import Metrics
from streamd.services.brand_monitor.models import health_fields
from streamd.settings import Settings
from streamd.testing import open_stream
from tests.support.brand_rig import PREFIX, rig

SETTINGS = Settings()


class Stuck:
    """A wire whose peer reads nothing."""

    async def write(self, batch: Batch) -> int:
        await trio.sleep_forever()
        raise AssertionError("nothing comes after for ever")

    def write_nowait(self, batch: Batch) -> int:
        return 0

    def release(self) -> None:
        pass


class Broken(Stuck):
    """A wire whose peer has disconnected."""

    async def write(self, batch: Batch) -> int:
        await trio.lowlevel.checkpoint()
        raise trio.BrokenResourceError


def batch() -> Batch:
    return Batch([Control("hello")])


@attrs.frozen
class Streams:
    """A group of streams with a registry and its sweeper, with the default settings."""

    group: Group = attrs.field(factory=lambda: Group("the brand monitor"))
    registry: Registry = attrs.field(
        factory=lambda: Registry(SETTINGS.connections, Metrics(max_type_labels=5))
    )

    def admit(self) -> Connection:
        return self.registry.admit("sse", Identity(), SendQueue(8, 1000), group=self.group)

    async def keep(self) -> None:
        await sweep_connections(self.registry, SETTINGS.connections, Metrics(max_type_labels=5))

    def health(self) -> tuple[str, dict[str, int]]:
        fields = health_fields(self.group.statistics())
        return fields["status"], fields["connectionHealth"]


async def test_a_stream_is_unhealthy_after_30_s_without_progress_and_reaped_after_2_min(
    autojump_clock: trio.testing.MockClock,
) -> None:
    streams = Streams()
    aborted: list[float] = []
    with streams.admit() as well, streams.admit() as stuck:
        stuck.abort_transport = lambda: aborted.append(trio.current_time() - began)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(streams.keep)
            began = trio.current_time()
            nursery.start_soon(stuck.write, Stuck(), batch())
            await trio.sleep(29.9)
            assert streams.health() == ("healthy", {"healthy": 2, "unhealthy": 0, "stale": 0})
            await trio.sleep(0.2)
            assert streams.health() == ("degraded", {"healthy": 1, "unhealthy": 1, "stale": 0})
            await trio.sleep(89.85)  # 119.95 s
            assert streams.health()[1] == {"healthy": 1, "unhealthy": 1, "stale": 0}
            assert aborted == []
            await trio.sleep(1.5)
            assert len(aborted) >= 1
            assert 120 <= aborted[0] <= 121.1  # at the next sweep, once a second
            assert not well.is_disconnected
            nursery.cancel_scope.cancel()
    fields = health_fields(streams.group.statistics())
    assert fields["activeConnections"] == 0
    assert fields["totalConnections"] == 2
    assert fields["averageConnectionTime"] == pytest.approx(121.45)  # seconds
    assert fields["status"] == "healthy"


async def test_a_stale_stream_is_reported_until_it_is_reaped(
    autojump_clock: trio.testing.MockClock,
) -> None:
    streams = Streams()
    with streams.admit() as stuck:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stuck.write, Stuck(), batch())
            await trio.sleep(120)
            assert streams.health() == ("degraded", {"healthy": 0, "unhealthy": 0, "stale": 1})
            nursery.cancel_scope.cancel()


async def test_a_failed_write_makes_a_stream_unhealthy_and_is_counted() -> None:
    streams = Streams()
    with streams.admit() as connection:
        with pytest.raises(trio.BrokenResourceError):
            await connection.write(Broken(), batch())
        assert streams.health() == ("degraded", {"healthy": 0, "unhealthy": 1, "stale": 0})
        assert health_fields(streams.group.statistics())["connectionErrors"] == 1
    assert (
        health_fields(streams.group.statistics())["connectionErrors"] == 1
    )  # errors of released connections are counted too


async def test_health_ignores_streams_of_other_services() -> None:
    async with rig(hold=True) as r:
        task_id = await r.start()
        async with (
            open_stream(r.url, topics=["x"]),
            open_stream(r.url, path=f"/tasks/{task_id}/events"),
            open_stream(r.url, path=f"{PREFIX}/progress/{task_id}"),
        ):
            assert await r.health() | {"averageConnectionTime": 0} == {
                "status": "healthy",
                "totalConnections": 1,
                "activeConnections": 1,
                "connectionHealth": {"healthy": 1, "unhealthy": 0, "stale": 0},
                "averageConnectionTime": 0,
                "connectionErrors": 0,
            }
        assert (await r.until_active(0))["totalConnections"] == 1


async def test_quiet_streams_receive_heartbeats() -> None:
    async with rig(
        hold=True,
        brand_monitor={"stream": StreamSettings(heartbeat_seconds=0.02)},
        connections={"sweep_seconds": 0.01},
    ) as r:
        task_id = await r.start()
        async with open_stream(r.url, path=f"{PREFIX}/progress/{task_id}") as stream:
            assert "timestamp" in await stream.next_control("heartbeat")
            assert "timestamp" in await stream.next_control("heartbeat")
