"""What a merchant's followers hear: typed publishing under ``merchant:{merchantId}:{type}``.

Publishing never holds up nor fails what is told of. An event enters its merchant's queue and is published
from there, one after the other, each tried several times; one that cannot be published is dropped, counted
and logged.
"""

import secrets
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, NoReturn, Protocol

import attrs
import structlog
import trio
from prometheus_client import CollectorRegistry, Counter

from ...errors import InvalidField, RequestError, StreamdError
from .identity import check_merchant

TYPES: Final = ("stage", "progress", "completion", "error")
_LAST_RETRY_SECONDS: Final = 5.0
_GOODBYE_SECONDS: Final = 1.0  # for what still waits when the server ends

_log = structlog.get_logger(__name__)


def topics_of(merchant_id: str) -> list[str]:
    """The topics of all that a merchant hears."""
    return [topic_of(merchant_id, type) for type in TYPES]


def topic_of(merchant_id: str, type: str) -> str:
    """The topic of a merchant's events of one type."""
    return f"merchant:{merchant_id}:{type}"


class Publisher(Protocol):
    """Where events go; :class:`streamd.hub.Hub` is one."""

    async def publish(
        self,
        topics: str | Sequence[str],
        data: Any = "",
        *,
        type: str | None = None,
        retry_ms: int | None = None,
        idempotency_key: str | None = None,
        publisher: str = "",
    ) -> object:
        """Publish one event."""
        ...


class Counters:
    """What is counted of merchants' events; one for each registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.published: Final = Counter(
            "streamd_merchant_events_published",
            "Events of merchants published, by type.",
            ["type"],
            registry=registry,
        )
        self.retries: Final = Counter(
            "streamd_merchant_event_retries",
            "Tries to publish an event of a merchant again.",
            registry=registry,
        )
        self.dropped: Final = Counter(
            "streamd_merchant_events_dropped",
            "Events of merchants given up, by reason.",
            ["reason"],
            registry=registry,
        )


@attrs.frozen
class _Waiting:
    type: str
    data: dict[str, Any]
    key: str  # the same at every try, so that one that went out unnoticed is not published twice


class MerchantEvents:
    """Publishes to merchants; the events of one merchant go out in the order of the calls.

    Runs for as long as :meth:`run` does; what is said before that waits for it.

    Args:
        publisher: the hub.
        counters: where it counts.
        attempts: tries for one event (count).
        backoff_seconds: wait before the second try (s); it doubles.
        max_waiting: events of one merchant that may wait (count).
    """

    def __init__(
        self,
        publisher: Publisher,
        counters: Counters,
        *,
        attempts: int,
        backoff_seconds: float,
        max_waiting: int,
    ) -> None:
        self._publisher = publisher
        self._counters = counters
        self._attempts = attempts
        self._backoff_seconds = backoff_seconds
        self._max_waiting = max_waiting
        self._queues: dict[str, deque[_Waiting]] = {}  # of merchants for whom something waits
        self._unserved: deque[str] = deque()  # those of them that no task looks after yet
        self._wanted = trio.Event()
        self._idle = trio.Event()
        self._idle.set()
        self._key_prefix = secrets.token_hex(8)
        self._key_number = 0

    async def publish_stage(
        self, merchant_id: str, *, stage: str, po_id: str, workflow_id: str, message: str = ""
    ) -> None:
        """A stage has begun.

        Raises:
            InvalidField: the merchant's id cannot be one.
        """
        self._put(
            merchant_id,
            "stage",
            {
                "stage": stage,
                "poId": po_id,
                "workflowId": workflow_id,
                "status": "started",
                "message": message,
            },
        )
        await trio.lowlevel.checkpoint()

    async def publish_progress(
        self,
        merchant_id: str,
        *,
        stage: str,
        po_id: str,
        workflow_id: str,
        progress: float,
        message: str = "",
    ) -> None:
        """A stage is so far.

        Args:
            progress: 0 to 100, within the stage.

        Raises:
            InvalidField: the merchant's id or the figure cannot be one.
        """
        shown = _percent(progress, "progress")
        self._put(
            merchant_id,
            "progress",
            {"poId": po_id, "workflowId": workflow_id, "stage": stage, "progress": shown, "message": message},
        )
        await trio.lowlevel.checkpoint()

    async def publish_completion(
        self,
        merchant_id: str,
        *,
        stage: str,
        po_id: str,
        workflow_id: str,
        line_items: int | None = None,
        confidence: float | None = None,
        purchase_order_id: str | None = None,
        shopify_order_id: str | None = None,
    ) -> None:
        """A stage has ended well; what is left out is not in the event.

        Args:
            line_items: lines it was about (count).
            confidence: 0 to 100.

        Raises:
            InvalidField: the merchant's id or the figure cannot be one.
        """
        data: dict[str, Any] = {"stage": stage, "poId": po_id, "workflowId": workflow_id}
        further = {
            "lineItems": line_items,
            "confidence": None if confidence is None else _percent(confidence, "confidence"),
            "purchaseOrderId": purchase_order_id,
            "shopifyOrderId": shopify_order_id,
        }
        data |= {name: value for name, value in further.items() if value is not None}
        self._put(merchant_id, "completion", data)
        await trio.lowlevel.checkpoint()

    async def publish_error(
        self, merchant_id: str, *, stage: str, po_id: str, workflow_id: str, error: str
    ) -> None:
        """A stage has failed, for a reason that is fit to be shown.

        Raises:
            InvalidField: the merchant's id cannot be one.
        """
        data = {"stage": stage, "poId": po_id, "workflowId": workflow_id, "error": error}
        self._put(merchant_id, "error", data)
        await trio.lowlevel.checkpoint()

    async def settled(self) -> None:
        """Wait until nothing waits to be published."""
        await self._idle.wait()

    async def run(self) -> NoReturn:
        """Publish until cancelled; what waits then is tried once more each, for a second in all."""
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    await self._wanted.wait()
                    self._wanted = trio.Event()
                    while self._unserved:
                        nursery.start_soon(self._serve, self._unserved.popleft())
        finally:
            with trio.move_on_after(_GOODBYE_SECONDS, shield=True):
                for merchant_id, queue in list(self._queues.items()):
                    while queue and await self._try(merchant_id, queue[0]) is None:
                        queue.popleft()
            lost = sum(map(len, self._queues.values()))
            if lost:
                self._counters.dropped.labels("shutdown").inc(lost)
                _log.warning("merchant_events_dropped", reason="shutdown", count=lost)
        raise AssertionError("it publishes until it is cancelled")

    def _put(self, merchant_id: str, type: str, data: dict[str, Any]) -> None:
        check_merchant(merchant_id)
        queue = self._queues.get(merchant_id)
        if queue is None:
            queue = self._queues[merchant_id] = deque()
            self._unserved.append(merchant_id)
            self._wanted.set()
            if self._idle.is_set():
                self._idle = trio.Event()
        if len(queue) >= self._max_waiting:
            self._drop(type, data, "full")
            return
        self._key_number += 1
        queue.append(_Waiting(type, data, f"{self._key_prefix}-{self._key_number}"))

    async def _serve(self, merchant_id: str) -> None:
        """Publish what waits for one merchant, until nothing does."""
        queue = self._queues[merchant_id]
        while queue:
            await self._publish(merchant_id, queue[0])
            queue.popleft()  # only now: cancelled, it still waits for the goodbye
        del self._queues[merchant_id]
        if not self._queues:
            self._idle.set()

    async def _publish(self, merchant_id: str, event: _Waiting) -> None:
        seconds = self._backoff_seconds
        for attempt in range(1, self._attempts + 1):
            error = await self._try(merchant_id, event)
            if error is None:
                return
            if isinstance(error, RequestError) or attempt == self._attempts:
                reason = error.code if isinstance(error, StreamdError) else "internal"
                self._drop(event.type, event.data, reason, error)
                return
            self._counters.retries.inc()
            asked = (error.retry_after_seconds or 0.0) if isinstance(error, StreamdError) else 0.0
            await trio.sleep(min(max(seconds, asked), _LAST_RETRY_SECONDS))
            seconds *= 2

    async def _try(self, merchant_id: str, event: _Waiting) -> Exception | None:
        try:
            await self._publisher.publish(
                topic_of(merchant_id, event.type),
                event.data,
                type=event.type,
                idempotency_key=event.key,
                publisher=f"merchant:{merchant_id}",
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not reach the order
            return error
        self._counters.published.labels(event.type).inc()
        return None

    def _drop(self, type: str, data: dict[str, Any], reason: str, error: Exception | None = None) -> None:
        self._counters.dropped.labels(reason).inc()
        _log.warning(
            "merchant_event_dropped",
            type=type,
            order=data["poId"],
            stage=data["stage"],
            reason=reason,
            error=repr(error),
        )


def _percent(value: float, field: str) -> float | int:
    """A figure from 0 to 100, to a tenth, and whole where that is whole."""
    if isinstance(value, bool) or not 0 <= value <= 100:
        raise InvalidField(f"{field} must be a number from 0 to 100, got {value!r}", field=field)
    rounded = round(float(value), 1)
    return int(rounded) if rounded.is_integer() else rounded
