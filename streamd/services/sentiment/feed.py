"""The service's two kinds of events, and when they are published."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NoReturn, Protocol

import structlog
import trio

from ...config.services import SentimentSettings
from ...errors import Unavailable
from ...events import Draft
from .totals import Totals

METRICS_TOPIC: Final = "sentiment/metrics"
METRICS: Final = "metrics"
_BATCH_EVENTS: Final = 100  # published together; a batch is refused as a whole when delivery lags
_EXPIRE_AT_ONCE: Final = 1000  # items that leave before others may run: a few milliseconds
_RETRY_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


class Publisher(Protocol):
    """Where events go; :class:`streamd.hub.Hub` is it."""

    async def publish(self, topics: str | Sequence[str], data: Any = "", *, type: str | None = None) -> Any:
        """Publish one event."""

    async def publish_drafts(self, drafts: Sequence[Draft]) -> Any:
        """Publish several, all of them or none."""


class Feed:
    """Publishes ``new_item`` for each item in its order, and ``metrics`` when it is time.

    What cannot be published just now is tried again until it can; the log says so.

    Args:
        hub: where to publish.
        totals: what the metrics are made of.
        settings: how often.
        now_ms: the clock of the items (ms since 1970).

    Attributes:
        waiting: items that are still to be published (count).
    """

    def __init__(
        self, hub: Publisher, totals: Totals, settings: SentimentSettings, now_ms: Callable[[], int]
    ) -> None:
        self._hub = hub
        self._totals = totals
        self._settings = settings
        self._now_ms = now_ms
        self._drafts: deque[Draft] = deque()
        self._put = trio.Event()
        self._published_version = totals.version

    @property
    def waiting(self) -> int:
        return len(self._drafts)

    def put(self, drafts: Sequence[Draft]) -> None:
        """Have items published, after they were added to the totals."""
        self._drafts.extend(drafts)
        self._put.set()
        self._put = trio.Event()

    async def run(self) -> NoReturn:
        """Publish until cancelled; items that were not published by then are not any more."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._publish_items)
            nursery.start_soon(self._publish_metrics)
        raise AssertionError("a feed publishes until it is cancelled")

    async def settle(self) -> None:
        """Let go of items that have left, a few at a time, so that many at once hold nobody up."""
        await trio.lowlevel.checkpoint()
        while not self._totals.expire(self._now_ms(), most=_EXPIRE_AT_ONCE):
            await trio.lowlevel.checkpoint()

    # --- items --------------------------------------------------------------------------------

    async def _publish_items(self) -> NoReturn:
        while True:
            while not self._drafts:
                await self._put.wait()
            batch = [self._drafts[place] for place in range(min(len(self._drafts), _BATCH_EVENTS))]
            if await self._try(partial(self._hub.publish_drafts, batch), len(batch)):
                for _ in batch:
                    self._drafts.popleft()
            else:
                await trio.sleep(_RETRY_SECONDS)

    # --- metrics ------------------------------------------------------------------------------

    async def _publish_metrics(self) -> NoReturn:
        """After changes, at most every ``metrics_min_seconds``; without, every ``metrics_max_seconds``."""
        settings = self._settings
        last, is_owed = trio.current_time(), False
        while True:
            if not is_owed:
                with trio.move_on_at(last + settings.metrics_max_seconds):
                    await self._wait_for_change()
            await trio.sleep_until(last + settings.metrics_min_seconds)
            await self.settle()
            metrics, version = self._totals.metrics(self._now_ms()), self._totals.version
            publish = partial(self._hub.publish, METRICS_TOPIC, metrics, type=METRICS)
            is_owed = not await self._try(publish, 1)
            if not is_owed:
                self._published_version = version
            last = trio.current_time()

    async def _wait_for_change(self) -> None:
        """Return when the totals differ from those published: an item came, or one has left."""
        while True:
            put = self._put
            await self.settle()
            if self._totals.version != self._published_version:
                return
            leaves_ms = self._totals.next_change_ms
            until = float("inf") if leaves_ms is None else (leaves_ms - self._now_ms()) / 1000
            with trio.move_on_after(max(0.0, until)):
                await put.wait()

    async def _try(self, publish: Callable[[], Any], count: int) -> bool:
        """Publish, and say whether that went well. Whatever goes wrong must not end the service."""
        try:
            await publish()
        except Unavailable as error:
            _log.warning("sentiment_publishing_delayed", events=count, code=error.code, detail=error.detail)
        except Exception:  # noqa: BLE001 - as it says above
            _log.exception("sentiment_publishing_failed", events=count)
        else:
            return True
        return False
