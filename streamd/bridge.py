"""The bridge: events from programs that publish with Redis pub/sub.

One node at a time subscribes to the channels that ``redis.bridge`` names, and publishes each message under
the topic that has the channel's name. Pub/sub itself keeps nothing: a message that is sent while no bridge
is connected is lost, and nobody can count it. The metrics count the interruptions instead.

The bridge owns what it publishes: reserved topics are open to it.
"""

import re
from collections import deque
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, NoReturn

import msgspec
import structlog
import trio
from prometheus_client import CollectorRegistry, Counter, Gauge

from .errors import OutcomeUnknown, StreamdError, Unavailable
from .events import Draft, EventSettings
from .hub import Hub
from .redis import Disconnected, NodeLease, RedisAddress, RedisLink

_WAITING_MAX: Final = 10_000  # messages that are received and not published yet
_PUBLISHED_AT_ONCE: Final = 100
_RETRY_SECONDS: Final = 0.5
_OF_NODES: Final = re.compile(r"\{[^{}]*\}:nodes(:|$)")  # channels of streamd's own, see connections.nodes
_PUBLISHER: Final = "redis-bridge"

_log = structlog.get_logger(__name__)


class BridgeMetrics:
    """The counters of the bridge.

    Args:
        registry: to register them in.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.messages: Final = Counter(
            "streamd_bridge_messages",
            "Messages of Redis pub/sub that this node received: published, invalid (no event can have the "
            "channel's name or the size), dropped (too many were waiting) or unknown (published or not).",
            ["outcome"],
            registry=registry,
        )
        self.interruptions: Final = Counter(
            "streamd_bridge_interruptions",
            "Ends of this node's subscription to Redis pub/sub; messages that are sent meanwhile are lost.",
            registry=registry,
        )
        self.active: Final = Gauge(
            "streamd_bridge_active", "1 on the node that subscribes to Redis pub/sub.", registry=registry
        )


class RedisBridge:
    """Publishes the messages of some channels of Redis.

    Args:
        address: of the server.
        prefix: of the keys, for the lease that one node holds.
        patterns: of channels; ``*`` stands for any characters, ``?`` for one.
        hub: publishes the events.
        limits: bounds of an event.
        metrics: counts messages.
    """

    def __init__(
        self,
        address: RedisAddress,
        prefix: str,
        patterns: Sequence[str],
        hub: Hub,
        limits: EventSettings,
        metrics: BridgeMetrics,
    ) -> None:
        self._patterns = patterns
        self._hub = hub
        self._limits = limits
        self._metrics = metrics
        self._link = RedisLink(address, "streamd-bridge")
        self._lease = NodeLease(self._link, f"{prefix}:bridge")
        self._waiting: deque[Draft] = deque()
        self._has_waiting = trio.Event()

    async def run(self) -> NoReturn:
        """Bridge until cancelled, while this node is the one that does."""
        link_scope = trio.CancelScope(shield=True)  # giving the lease back needs the link
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_link, link_scope)
            nursery.start_soon(self._publish)
            try:
                await self._link.connected.wait()
                await self._lease.hold(self._subscribe)
            finally:
                link_scope.cancel()
        raise AssertionError("the lease is held until cancelled")

    async def _keep_link(self, scope: trio.CancelScope) -> None:
        with scope:
            await self._link.run()

    async def _subscribe(self) -> NoReturn:
        self._metrics.active.set(1)
        try:
            while True:
                await self._link.connected.wait()
                try:
                    _log.info("bridge_subscribed", patterns=list(self._patterns))
                    await self._link.listen(self._patterns, self._take)
                except Disconnected:
                    self._metrics.interruptions.inc()
                    _log.warning("bridge_interrupted", reason="messages that are sent meanwhile are lost")
                    await trio.sleep(_RETRY_SECONDS)
        finally:
            self._metrics.active.set(0)

    def _take(self, pattern: bytes, channel: bytes, data: bytes) -> None:
        """Turn a message into a draft; of several patterns that match a channel, the first has it."""
        name = channel.decode(errors="replace")
        if _OF_NODES.match(name):
            return
        if next((each for each in self._patterns if fnmatchcase(name, each)), None) != pattern.decode():
            return
        try:
            draft = Draft.create([channel.decode()], _data(data), limits=self._limits)
        except (StreamdError, UnicodeDecodeError) as error:
            self._metrics.messages.labels("invalid").inc()
            _log.warning("bridge_message_invalid", channel=name[:200], error=str(error))
            return
        if len(self._waiting) >= _WAITING_MAX:
            self._metrics.messages.labels("dropped").inc()
            _log.warning("bridge_message_dropped", reason="too many messages wait for the log")
            return
        self._waiting.append(draft)
        self._has_waiting.set()

    async def _publish(self) -> NoReturn:
        while True:
            await self._has_waiting.wait()
            drafts = [self._waiting.popleft() for _ in range(min(len(self._waiting), _PUBLISHED_AT_ONCE))]
            if not self._waiting:
                self._has_waiting = trio.Event()
            await self._publish_group(drafts)

    async def _publish_group(self, drafts: Sequence[Draft]) -> None:
        while True:
            try:
                await self._hub.publish_drafts(drafts, publisher=_PUBLISHER)
            except Unavailable:  # nothing was published
                await trio.sleep(_RETRY_SECONDS)
                continue
            except OutcomeUnknown:
                outcome = "unknown"
                _log.warning("bridge_outcome_unknown", messages=len(drafts))
            else:
                outcome = "published"
            self._metrics.messages.labels(outcome).inc(len(drafts))
            return


def _data(message: bytes) -> Any:
    """Return the data of an event: a JSON object or array as that, other text as text, the rest as bytes."""
    if message[:1] in (b"{", b"["):
        try:
            msgspec.json.decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
        else:
            return msgspec.Raw(message)
    try:
        return message.decode()
    except UnicodeDecodeError:
        return message
