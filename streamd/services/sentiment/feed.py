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
from .store.port import MetricsSource

METRICS_TOPIC: Final = "sentiment/metrics"
METRICS: Final = "metrics"
_BATCH_EVENTS: Final = 100  # per publish; the hub refuses a batch as a whole when the fan-out lags
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
        source: of the metrics.
        settings: intervals of ``metrics``.
    """

    def __init__(self, publisher: FeedPublisher, source: MetricsSource, settings: SentimentSettings) -> None:
        self._publisher = publisher
        self._source = source
        self._settings = settings
        self._drafts: deque[Draft] = deque()
        self._put = trio.Event()

    @property
    def unpublished(self) -> int:
        """Number of items that are not published yet."""
        return len(self._drafts)

    def put(self, drafts: Sequence[Draft]) -> None:
        """Queue the events of items that the totals count already; they are lost when the process ends."""
        self._drafts.extend(drafts)
        self._put.set()
        self._put = trio.Event()

    # --- items --------------------------------------------------------------------------------

    async def publish_items(self) -> NoReturn:
        """Publish until cancelled. Cancelling drops the events that are still queued."""
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

    async def publish_metrics(self) -> NoReturn:
        """Publish every ``metrics_min_seconds`` during changes, else every ``metrics_max_seconds``."""
        settings = self._settings
        last, is_overdue = trio.current_time(), False
        published = self._source.first_version

        async def publish() -> None:
            nonlocal published
            version, metrics = await self._source.read()
            await self._publisher.publish(METRICS_TOPIC, metrics, type=METRICS)
            published = version

        while True:
            if not is_overdue:
                with trio.move_on_at(last + settings.metrics_max_seconds):
                    await self._source.wait_for_change(published)
            await trio.sleep_until(last + settings.metrics_min_seconds)
            is_overdue = not await self._try(publish, 1)
            last = trio.current_time()

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
