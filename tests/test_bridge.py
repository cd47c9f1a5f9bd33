"""Messages of Redis pub/sub become events, once, by one node at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import trio
import trio.testing

from streamd.bridge import BridgeMetrics, RedisBridge
from streamd.errors import ConfigError
from streamd.events import EARLIEST, DataEncoding, Event, EventSettings
from streamd.events.topics import ALL
from streamd.hub import Hub, HubSettings
from streamd.log.memory import MemoryLog
from streamd.log.settings import LogSettings
from streamd.metrics import Metrics
from streamd.redis import RedisLink
from streamd.redis.settings import RedisSettings
from streamd.runtime import Runtime, RuntimeSettings
from tests.support.redis_links import open_link
from tests.support.redis_servers import new_prefix, shared_server

CHANNELS = ("merchant:*:*", "merchant:*", "odd?")


class Node:
    """A node with a log of its own, so that each shows what its bridge has published."""

    def __init__(self, prefix: str, channel: Callable[[str], str]) -> None:
        self.log = MemoryLog(LogSettings())
        metrics = Metrics(max_type_labels=10)
        hub = Hub(self.log, HubSettings(), EventSettings(), metrics)
        self.metrics = BridgeMetrics(metrics.registry)
        patterns = [channel(name) for name in CHANNELS]
        limits = EventSettings(max_event_bytes=1000)
        self.bridge = RedisBridge(shared_server().address, prefix, patterns, hub, limits, self.metrics)

    async def events(self, number: int) -> list[Event]:
        """Wait for a number of events, and return them."""
        while True:
            page = await self.log.read(ALL, EARLIEST, max_events=100, max_bytes=1_000_000)
            if len(page.events) >= number:
                return list(page.events)
            await self.log.tail(self.log.head, max_events=1, max_bytes=1)

    def count(self, outcome: str) -> float:
        return float(self.metrics.messages.labels(outcome)._value.get())


@pytest.fixture
def prefix() -> str:
    return new_prefix()


@pytest.fixture
def channel(prefix: str) -> Callable[[str], str]:
    """Return the name of a channel of this test."""
    return lambda name: f"{prefix}{name}"


async def until(value: Callable[[], float]) -> None:
    """Wait until a metric is not zero."""
    with trio.fail_after(20):
        while not value():
            await trio.lowlevel.checkpoint()


async def subscribers(link: RedisLink, pattern_count: int) -> None:
    """Wait until bridges subscribe to a number of patterns."""
    with trio.fail_after(20):
        while await link.call(b"PUBSUB", b"NUMPAT") != pattern_count:
            await trio.lowlevel.checkpoint()


@contextmanager
def no_patterns() -> Iterator[None]:
    shared_server().command("CLIENT", "KILL", "TYPE", "pubsub")
    yield
    shared_server().command("CLIENT", "KILL", "TYPE", "pubsub")


async def test_messages_become_events_of_their_channel(prefix: str, channel: Callable[[str], str]) -> None:
    node = Node(prefix, channel)
    messages: list[tuple[str, bytes]] = [
        ("merchant:1:progress", b'{"percent": 1.50}'),
        ("merchant:1", "half way, ü".encode()),
        ("odd1", b"\xff\x00"),
        ("odd12", b"does not match"),
        ("odd\n", b"no topic"),
        ("odd2", b"x" * 2000),
        ("merchant:2", b"[broken"),
    ]
    with no_patterns():
        async with open_link() as link, trio.open_nursery() as nursery:
            nursery.start_soon(node.bridge.run)
            await subscribers(link, len(CHANNELS))
            for name, data in messages:
                await link.call(b"PUBLISH", channel(name), data)
            with trio.fail_after(20):
                events = await node.events(4)
            nursery.cancel_scope.cancel()
    assert [(event.topics, event.data, event.encoding) for event in events] == [
        ((channel("merchant:1:progress"),), '{"percent":1.50}', DataEncoding.JSON),
        ((channel("merchant:1"),), "half way, ü", DataEncoding.TEXT),
        ((channel("odd1"),), "/wA=", DataEncoding.BASE64),
        ((channel("merchant:2"),), "[broken", DataEncoding.TEXT),
    ]
    assert (node.count("published"), node.count("invalid")) == (4, 2)


async def test_one_node_bridges_and_another_follows(prefix: str, channel: Callable[[str], str]) -> None:
    first, second = Node(prefix, channel), Node(prefix, channel)
    with no_patterns():
        async with open_link() as link, trio.open_nursery() as nursery:
            with trio.CancelScope() as first_scope:
                async with trio.open_nursery() as node:
                    node.start_soon(first.bridge.run)
                    await subscribers(link, len(CHANNELS))
                    nursery.start_soon(second.bridge.run)
                    await link.call(b"PUBLISH", channel("merchant:1"), b"one")
                    with trio.fail_after(20):
                        await first.events(1)
                    first_scope.cancel()
            await until(second.metrics.active._value.get)
            await subscribers(link, len(CHANNELS))
            await link.call(b"PUBLISH", channel("merchant:1"), b"two")
            with trio.fail_after(20):
                [event] = await second.events(1)
            nursery.cancel_scope.cancel()
    assert event.data == "two"
    assert first.count("published") == 1


async def test_an_interruption_is_counted_and_bridging_goes_on(
    prefix: str, channel: Callable[[str], str]
) -> None:
    node = Node(prefix, channel)
    with no_patterns():
        async with open_link() as link, trio.open_nursery() as nursery:
            nursery.start_soon(node.bridge.run)
            await subscribers(link, len(CHANNELS))
            await link.call(b"CLIENT", b"KILL", b"TYPE", b"pubsub")
            await until(node.metrics.interruptions._value.get)
            await subscribers(link, len(CHANNELS))
            await link.call(b"PUBLISH", channel("merchant:1"), b"again")
            with trio.fail_after(20):
                await node.events(1)
            nursery.cancel_scope.cancel()
    assert node.metrics.interruptions._value.get() == 1


def test_a_bridge_needs_the_log_in_redis() -> None:
    with pytest.raises(ConfigError) as caught:
        Runtime.create(RuntimeSettings(redis=RedisSettings(bridge=["a"])))
    assert caught.value.field == "redis.bridge"


async def test_messages_of_nodes_to_each_other_are_not_published(prefix: str) -> None:
    node = Node(prefix, lambda name: "*")
    own = (f"{prefix}:nodes:0", f"{prefix}:nodes:0:abc", "{streamd}:nodes:3")
    with no_patterns():
        async with open_link() as link, trio.open_nursery() as nursery:
            nursery.start_soon(node.bridge.run)
            await until(node.metrics.active._value.get)
            with trio.fail_after(20):
                while not await link.call(b"PUBLISH", f"{prefix}:other", b"x"):
                    await trio.lowlevel.checkpoint()
            for name in own:
                assert await link.call(b"PUBLISH", name, b"{}")
            await link.call(b"PUBLISH", f"{prefix}:last", b"x")
            with trio.fail_after(20):
                events = await node.events(1)
                while events[-1].topics != (f"{prefix}:last",):
                    events = await node.events(len(events) + 1)
            nursery.cancel_scope.cancel()
    assert not {topic for event in events for topic in event.topics} & set(own)
