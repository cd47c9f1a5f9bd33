"""Items in Redis, for several nodes, with the totals there as well.

All times that decide are those of the server, so that nodes whose clocks differ have the same window. An
item's score is in its event, and not kept.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import structlog
import trio

from ....errors import Unavailable
from ....idempotency import IdempotencyKey
from ....redis import NodeLease, RedisStore
from ..items import Item
from ..models import Sentiment, SentimentMetrics
from ..settings import SentimentSettings
from . import scripts
from .port import WINDOW_MS, Inserted, too_many_items, too_many_tickers

_PURGED_AT_ONCE: Final = 1000  # a few milliseconds
_LOOK_SECONDS: Final = 1.0
"""Interval of looks at the totals for the items of other nodes (s): metrics are due once a second."""

_NUMBERS: Final = {sentiment: number for number, sentiment in enumerate(Sentiment)}

_log = structlog.get_logger(__name__)


class RedisItemStore:
    """Items in Redis; see :class:`.port.ItemStore`.

    Args:
        store: the way to the keys.
        settings: the maximum time by which a timestamp may be ahead of the clock.
        now_ms: the clock (ms since 1970); None for the server's, as all nodes should have it.
    """

    is_shared: bool = True
    first_version: object = None  # a node that begins to publish does not know what was published last

    def __init__(
        self, store: RedisStore, settings: SentimentSettings, now_ms: Callable[[], int] | None = None
    ) -> None:
        self._store = store
        self._now_ms = now_ms
        # An item whose timestamp is ahead of the clock counts longer, so its id must be known longer.
        self._keep_ms = WINDOW_MS + round(1000 * settings.max_ahead_seconds)
        self._lease = NodeLease(store.link, store.key("sentiment:publisher"))
        self._added = trio.Event()

    async def open(self) -> None:
        await trio.lowlevel.checkpoint()

    async def find_accepted(self, key: IdempotencyKey) -> int | None:
        reply = await self._store.read(scripts.ACCEPTED, self._now(), self._keep_ms, key.name)
        if reply is None:
            return None
        key.check(reply[1])
        return int(reply[0])

    async def insert(
        self, items: Sequence[Item], limits: SentimentSettings | None, key: IdempotencyKey | None = None
    ) -> Inserted:
        arguments: list[Any] = ["", ""] if limits is None else [limits.max_items, limits.max_tickers]
        arguments += ["", b""] if key is None else [key.name, key.fingerprint]
        for item in items:
            arguments += [item.id, item.ticker, _NUMBERS[item.sentiment], item.timestamp_ms]
        reply = await self._store.change(scripts.INSERT, self._now(), self._keep_ms, *arguments)
        match reply:
            case [b"ok", accepted, new, timestamps_ms, now_ms]:
                self._added.set()
                self._added = trio.Event()
                return Inserted([items[index] for index in new], accepted, timestamps_ms, now_ms - WINDOW_MS)
            case [b"conflict"]:
                assert key is not None
                raise key.conflict()
        assert limits is not None
        if reply[0] == b"items":
            raise too_many_items(limits)
        raise too_many_tickers(limits, reply[1], items[reply[1]].ticker)

    async def read(self) -> tuple[object, SentimentMetrics]:
        while True:
            reply = await self._store.read(scripts.TOTALS, self._now())
            if not reply[0]:
                break
        _, added, total, last_hour, by_sentiment, by_ticker = reply
        positive, neutral, negative = (int(count or 0) for count in by_sentiment)
        pairs = zip(by_ticker[::2], by_ticker[1::2], strict=True)
        metrics = SentimentMetrics(
            total=total,
            positive=positive,
            neutral=neutral,
            negative=negative,
            by_tag=dict(sorted((ticker.decode(), int(count)) for ticker, count in pairs)),
            rate_last_hour=last_hour,
            rate_last_24h=total,
        )
        return (added, total, last_hour), metrics

    async def wait_for_change(self, version: object) -> None:
        while True:
            added = self._added
            try:
                reply = await self._store.read(scripts.VERSION, self._now())
            except Unavailable as error:
                _log.warning("sentiment_totals_not_read", detail=error.detail)
                await trio.sleep(_LOOK_SECONDS)
                continue
            if tuple(reply[1:]) != version and not reply[0]:
                return
            if not reply[0]:
                with trio.move_on_after(_LOOK_SECONDS):
                    await added.wait()

    async def snapshot(self) -> Callable[[], SentimentMetrics]:
        _, metrics = await self.read()
        return lambda: metrics

    async def purge(self) -> None:
        while await self._store.read(scripts.PURGE, self._now(), self._keep_ms, _PURGED_AT_ONCE):
            pass

    async def hold(self, work: Callable[[], Awaitable[None]]) -> None:
        await self._lease.hold(work)

    def _now(self) -> int | str:
        return "" if self._now_ms is None else self._now_ms()
