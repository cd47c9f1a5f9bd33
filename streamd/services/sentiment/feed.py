"""Publishing of the service's two event types: ``new_item`` per item, ``metrics`` at intervals."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NoReturn, Protocol

import structlog
import trio

from ...errors import Unavailable
from ...events import Draft
from .settings import SentimentSettings
from .totals import Totals

METRICS_TOPIC: Final = "sentiment/metrics"
METRICS: Final = "metrics"
_BATCH_EVENTS: Final = 100  # per publish; the hub refuses a batch as a whole when the fan-out lags
_EXPIRE_ITEMS: Final = 1000  # removals between two checkpoints: a few milliseconds
_RETRY_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


class FeedPublisher(Protocol):
    """The publishing part of :class:`streamd.Streamd`."""

    async def publish(self, topics: str | Sequence[str], data: Any = "", *, type: str | None = None) -> Any:
        """Publish one event."""

    async def publish_drafts(self, drafts: Sequence[Draft]) -> Any:
        """Publish several events, all or none."""


class Feed:
    """Publishes a ``new_item`` event per item, in order, and ``metrics`` events at intervals.

    A publish that fails is logged and retried until it succeeds.

    Args:
        publisher: publishes the events.
        totals: source of the metrics.
        settings: intervals of ``metrics``.
        now_ms: clock of the items (ms since 1970).
    """

    def __init__(
        self, publisher: FeedPublisher, totals: Totals, settings: SentimentSettings, now_ms: Callable[[], int]
    ) -> None:
        self._publisher = publisher
        self._totals = totals
        self._settings = settings
        self._now_ms = now_ms
        self._drafts: deque[Draft] = deque()
        self._put = trio.Event()
        self._published_version = totals.version

    @property
    def unpublished(self) -> int:
        """Number of items that are not published yet."""
        return len(self._drafts)

    def put(self, drafts: Sequence[Draft]) -> None:
        """Queue the events of items that the totals count already."""
        self._drafts.extend(drafts)
        self._put.set()
        self._put = trio.Event()

    async def run(self) -> NoReturn:
        """Publish until cancelled. Cancelling drops the events that are still queued."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._publish_items)
            nursery.start_soon(self._publish_metrics)
        raise AssertionError("the feed runs until it is cancelled")

    async def settle(self) -> None:
        """Remove the items that have left, with checkpoints: a large number must not block the loop."""
        await trio.lowlevel.checkpoint()
        while not self._totals.expire(self._now_ms(), limit=_EXPIRE_ITEMS):
            await trio.lowlevel.checkpoint()

    # --- items --------------------------------------------------------------------------------

    async def _publish_items(self) -> NoReturn:
        while True:
            while not self._drafts:
                await self._put.wait()
            batch = [self._drafts[index] for index in range(min(len(self._drafts), _BATCH_EVENTS))]
            if await self._try(partial(self._publisher.publish_drafts, batch), len(batch)):
                for _ in batch:
                    self._drafts.popleft()
            else:
                await trio.sleep(_RETRY_SECONDS)

    # --- metrics ------------------------------------------------------------------------------

    async def _publish_metrics(self) -> NoReturn:
        """Publish every ``metrics_min_seconds`` during changes, else every ``metrics_max_seconds``."""
        settings = self._settings
        last, is_overdue = trio.current_time(), False
        while True:
            if not is_overdue:
                with trio.move_on_at(last + settings.metrics_max_seconds):
                    await self._wait_for_change()
            await trio.sleep_until(last + settings.metrics_min_seconds)
            await self.settle()
            metrics, version = self._totals.metrics(self._now_ms()), self._totals.version
            publish = partial(self._publisher.publish, METRICS_TOPIC, metrics, type=METRICS)
            is_overdue = not await self._try(publish, 1)
            if not is_overdue:
                self._published_version = version
            last = trio.current_time()

    async def _wait_for_change(self) -> None:
        """Wait until the totals differ from the published ones: an item was added, or one has left."""
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
        """Publish and return True on success. An error is logged, so that it does not end the service."""
        try:
            await publish()
        except Unavailable as error:
            _log.warning("sentiment_publishing_delayed", events=count, code=error.code, detail=error.detail)
        except Exception:  # noqa: BLE001 - see the docstring
            _log.exception("sentiment_publishing_failed", events=count)
        else:
            return True
        return False
