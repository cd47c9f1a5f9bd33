"""All limits of a server."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NoReturn

import attrs
import trio
from prometheus_client import CollectorRegistry, Counter

from ..errors import TooManyRequests
from .addresses import group_address
from .gcra import Decision, Limiter, Rate, monotonic_ns
from .settings import LimitSettings

if TYPE_CHECKING:
    from ..redis import RedisLink
    from .reservations import Reservations, SharedLimiter

_BURST_SECONDS: Final = 2.0
"""An account without a configured burst holds what it earns in this time (s)."""
_PORTION: Final = 10  # part of the burst that a waiting publisher takes at once
_WAIT_SECONDS_MAX: Final = 60.0  # longer waits are refusals: whether the client is still there is not known


class LimitName(StrEnum):
    """A limit: of a class of routes, or of what is published."""

    PUBLISH = "publish"
    CONNECT = "connect"
    SUBSCRIBE = "subscribe"
    TASKS = "tasks"
    SERVICES = "services"
    EVENTS = "publish-events"
    BYTES = "publish-bytes"


_PUBLISHING: Final = frozenset({LimitName.EVENTS, LimitName.BYTES})
_RATES: Final[Mapping[LimitName, Callable[[LimitSettings], tuple[float, int]]]] = {
    LimitName.PUBLISH: lambda limits: (limits.publish_per_second, limits.publish_burst),
    LimitName.CONNECT: lambda limits: (limits.connect_per_second, limits.connect_burst),
    LimitName.SUBSCRIBE: lambda limits: (limits.subscribe_per_second, limits.subscribe_burst),
    LimitName.TASKS: lambda limits: (limits.tasks_per_second, limits.tasks_burst),
    LimitName.SERVICES: lambda limits: (limits.services_per_second, limits.services_burst),
    LimitName.EVENTS: lambda limits: (limits.events_per_second, limits.events_burst),
    LimitName.BYTES: lambda limits: (limits.bytes_per_second, limits.bytes_burst),
}
_NOUNS: Final[Mapping[LimitName, str]] = {
    LimitName.PUBLISH: "publishing requests",
    LimitName.CONNECT: "new streams",
    LimitName.SUBSCRIBE: "polls and subscriptions",
    LimitName.TASKS: "requests to /tasks",
    LimitName.SERVICES: "requests to services",
    LimitName.EVENTS: "published events",
    LimitName.BYTES: "published bytes",
}


@attrs.frozen
class TakenLimit:
    """A limit that was asked for one request, and its decision."""

    name: LimitName
    rate: Rate
    decision: Decision

    def check(self) -> None:
        """Check that the request is allowed.

        Raises:
            TooManyRequests: it is not.
        """
        if not self.decision.allowed:
            raise TooManyRequests(
                f"the rate of {_NOUNS[self.name]} is limited to {self.rate.per_second:g} per second, with "
                f"{self.rate.burst} at once",
                retry_after_seconds=self.decision.retry_after_seconds,
            )


def caller_key(user: str, address: str) -> str:
    """Return the key of a caller's accounts.

    Args:
        user: its user; empty without one.
        address: its address, as the server resolved it.
    """
    return f"user:{user}" if user else f"address:{group_address(address)}"


class Limits:
    """The limits of a server. One that is not configured costs nothing.

    Args:
        settings: their rates.
        registry: of the metrics.
        now_ns: a monotonic clock (ns).
    """

    def __init__(
        self,
        settings: LimitSettings,
        registry: CollectorRegistry,
        now_ns: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._now_ns = now_ns
        self._limiters: dict[LimitName, Limiter] = {}
        self._shared: dict[LimitName, SharedLimiter] = {}
        self._reservations: Reservations | None = None
        self._refused = Counter(
            "streamd_limit_refusals", "Requests refused with 429, by limit.", ("limit",), registry=registry
        )
        self._waited = Counter(
            "streamd_limit_waits", "Waits of NDJSON publishers for a limit.", ("limit",), registry=registry
        )
        self.apply_settings(settings)

    def apply_settings(self, settings: LimitSettings) -> None:
        """Use other rates from now on. What callers have spent stays spent."""
        for name, read in _RATES.items():
            per_second, burst = read(settings)
            rate = Rate(per_second, burst or max(1, round(per_second * _BURST_SECONDS)))
            if not per_second:
                self._limiters.pop(name, None)
                self._shared.pop(name, None)
            elif name in self._limiters:
                self._limiters[name].change_rate(rate)
            else:
                self._limiters[name] = Limiter(rate, now_ns=self._now_ns)
                self._share_limiter(name)

    def share(self, link: "RedisLink", prefix: str) -> None:
        """Hold the limits over all nodes with this prefix. Then :meth:`run` must run."""
        from .reservations import Reservations

        self._reservations = Reservations(link, prefix)
        for name in self._limiters:
            self._share_limiter(name)

    def _share_limiter(self, name: LimitName) -> None:
        if self._reservations is not None:
            from .reservations import SharedLimiter

            self._shared[name] = SharedLimiter(
                name, self._limiters[name], self._reservations, now_ns=self._now_ns
            )

    async def run(self) -> NoReturn:
        """Reserve tokens for this node, until cancelled."""
        if self._reservations is None:
            await trio.sleep_forever()
        else:
            await self._reservations.run()

    def is_limited(self, name: LimitName) -> bool:
        """Return True if a limit is configured."""
        return name in self._limiters

    @property
    def limits_publishing(self) -> bool:
        """True if published events or bytes are limited."""
        return not _PUBLISHING.isdisjoint(self._limiters)

    async def take(self, name: LimitName, caller: str, cost: int = 1) -> TakenLimit | None:
        """Ask a limit about a request, and count a refusal; return None if it is not configured.

        Args:
            name: of the limit.
            caller: its key, see :func:`caller_key`.
            cost: requests, events or bytes.
        """
        limiter = self._limiters.get(name)
        if limiter is None:
            return None
        decision = await self._decide(name, limiter, caller, cost)
        if not decision.allowed:
            self._refused.labels(name).inc()
        return TakenLimit(name, limiter.rate, decision)

    async def _decide(self, name: LimitName, limiter: Limiter, caller: str, cost: int) -> Decision:
        shared = self._shared.get(name)
        return limiter.take(caller, cost) if shared is None else await shared.take(caller, cost)

    async def take_published(self, caller: str, events: int, size: int) -> list[TakenLimit]:
        """Ask the limits of events and bytes about a request that publishes, which both must allow.

        Args:
            caller: its key.
            events: number of events.
            size: of the body (bytes).
        """
        if not self._limiters:
            return []
        by_events = await self.take(LimitName.EVENTS, caller, events)
        if by_events is not None and not by_events.decision.allowed:
            return [by_events]
        by_bytes = await self.take(LimitName.BYTES, caller, size)
        if by_bytes is not None and not by_bytes.decision.allowed and by_events is not None:
            self._give_back(LimitName.EVENTS, caller, events)
        return [taken for taken in (by_events, by_bytes) if taken is not None]

    def _give_back(self, name: LimitName, caller: str, cost: int) -> None:
        (self._shared.get(name) or self._limiters[name]).give_back(caller, cost)

    async def wait_published(self, caller: str, events: int, size: int) -> None:
        """Wait until the limits of events and bytes allow to publish, and take that.

        It is taken in portions of a tenth of the burst at most, so that publishers of one caller share its
        rate. Cancelled or refused, some of it may be taken.

        Raises:
            TooManyRequests: the next portion would have to wait for longer than a minute.
        """
        for name, cost in ((LimitName.EVENTS, events), (LimitName.BYTES, size)):
            left = cost
            while left > 0 and (limiter := self._limiters.get(name)) is not None:
                portion = min(left, max(1, limiter.rate.burst // _PORTION))
                decision = await self._decide(name, limiter, caller, portion)
                if decision.allowed:
                    left -= portion
                elif decision.retry_after_seconds > _WAIT_SECONDS_MAX:
                    self._refused.labels(name).inc()
                    TakenLimit(name, limiter.rate, decision).check()
                else:
                    self._waited.labels(name).inc()
                    await trio.sleep(decision.retry_after_seconds)
