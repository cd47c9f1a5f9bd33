"""Send an order to the shop: the payload, the retries, and the shop's answer.

Every attempt carries the same ``Idempotency-Key``, the order's id: a shop that took an order and whose answer
was cut off takes it once. An attempt is retried after a failed connection, a cut-off or unreadable answer,
408, 425, 429 and 5xx: with exponential backoff, or after the shop's ``Retry-After`` (RFC 9110 section 10.2.3)
where that is longer.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs
import httpx
import structlog

from ...characters import find_invalid
from ...errors import InvalidBody, StreamdError, root_cause
from ...json import check_json
from ...outbound import (
    AttemptFailed,
    Backoff,
    FetchFailed,
    ResponseTooLarge,
    RetriesExhausted,
    RetryBound,
    RetryNotice,
    RetryPolicy,
    StreamedResponse,
    fetch,
    with_body,
)
from .amounts import decimal_text
from .order import Order
from .settings import PurchaseOrderSettings

_RETRIED_STATUSES: Final = frozenset({408, 425, 429})  # and 5xx
_JITTER: Final = (
    0.2  # share of a wait that is random, so that orders that failed together do not retry together
)
_MAX_ID_CHARS: Final = 200


_log = structlog.get_logger(__name__)


class SyncFailed(StreamdError):
    """The shop has not taken the order; the detail is the reason."""

    code = "sync-failed"
    status = 502


AnnounceRetry = Callable[[str], Awaitable[None]]
"""Called before each wait with a sentence: the failed attempt and the time until the next one."""


def make_payload(po_id: str, merchant_id: str, order: Order) -> dict[str, Any]:
    """Build the payload of an order in the terms of Shopify's Admin API, with money as text."""
    currency = order.currency
    return {
        "order": {
            "source_identifier": po_id,
            "merchant_id": merchant_id,
            "name": order.number or po_id,
            "currency": currency,
            "total_price": None if order.total is None else decimal_text(order.total),
            "note": order.note,
            "vendor": order.supplier,
            "line_items": [
                {
                    "sku": line.sku,
                    "title": line.description or line.sku,
                    "quantity": line.quantity,
                    "price": None if line.unit_price is None else decimal_text(line.unit_price),
                    "product_type": line.category,
                    "tags": list(line.tags),
                }
                for line in order.lines
            ],
        }
    }


@attrs.frozen
class ShopAnswer:
    """The answer of a shop that took the order."""

    status: int
    order_id: str


@attrs.frozen
class Shop:
    """The shop's endpoint that takes orders.

    Args:
        http: does not follow redirects.
        settings: the URL, the token, and the limits of the retries.
    """

    http: httpx.AsyncClient
    settings: PurchaseOrderSettings

    async def send(self, payload: bytes, key: str, announce: AnnounceRetry) -> ShopAnswer:
        """Send an order until the shop takes it.

        Args:
            payload: JSON.
            key: the order's id and idempotency key; the same for every attempt, also after a restart.
            announce: called before each wait.

        Raises:
            SyncFailed: the shop rejected the order, or no attempt succeeded.

        Cancelled during an attempt, the shop may have taken the order.
        """
        settings = self.settings

        async def on_retry(notice: RetryNotice) -> None:
            cause = root_cause(notice.failure)  # not for clients: it may name the shop's host
            _log.warning(
                "shop_sync_retried",
                order=key,
                reason=notice.failure.detail,
                cause=None if cause is notice.failure else repr(cause),
                attempts=notice.attempts,
                wait_seconds=round(notice.wait_seconds, 3),
            )
            await announce(
                f"Attempt {notice.attempts} of {settings.retry.attempts} failed: {notice.failure.detail}; "
                f"retrying in {notice.wait_seconds:.3g} s"
            )

        try:
            return await fetch(
                self.http,
                self._make_request(payload, key),
                self._read_answer,
                policy=self._make_policy(),
                attempt_timeout_seconds=settings.sync_timeout_seconds,
                on_retry=on_retry,
            )
        except RetriesExhausted as exhausted:
            raise _sync_failed(exhausted) from exhausted
        except ResponseTooLarge as error:
            raise SyncFailed(
                f"the shop's answer is larger than {settings.sync_max_answer_bytes} bytes"
            ) from error
        except FetchFailed as error:
            raise SyncFailed(f"the order could not be sent: {error.detail}") from error

    def _make_policy(self) -> RetryPolicy:
        settings = self.settings
        backoff = Backoff(
            initial_seconds=settings.retry.backoff_seconds,
            max_seconds=settings.retry.max_wait_seconds,
            jitter=_JITTER,
        )
        return RetryPolicy(
            attempts=settings.retry.attempts,
            backoff=backoff,
            max_wait_seconds=settings.retry.max_wait_seconds,
        )

    def _make_request(self, payload: bytes, key: str) -> httpx.Request:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Idempotency-Key": key}
        if self.settings.sync_token:
            headers["Authorization"] = f"Bearer {self.settings.sync_token}"
        request = self.http.build_request("POST", self.settings.sync_url, headers=headers)
        return with_body(request, payload)

    async def _read_answer(self, response: StreamedResponse) -> ShopAnswer:
        body = await response.read(max_bytes=self.settings.sync_max_answer_bytes)
        status = response.status
        if 200 <= status < 300:
            try:
                order_id = read_order_id(body)
            except InvalidBody as error:
                raise AttemptFailed(f"the shop's answer cannot be read: {error.detail}") from error
            if order_id is None:
                raise AttemptFailed("the shop's answer has no order id")
            return ShopAnswer(status, order_id)
        if status in _RETRIED_STATUSES or status >= 500:
            raise AttemptFailed(
                f"the shop answered {status}", retry_after_seconds=response.retry_after_seconds
            )
        raise SyncFailed(f"the shop refused the order with status {status}")


def _sync_failed(exhausted: RetriesExhausted) -> SyncFailed:
    if exhausted.bound is RetryBound.WAIT:
        return SyncFailed(
            f"{exhausted.detail} and asked to wait {exhausted.retry_after_seconds:g} s, which is too long"
        )
    return SyncFailed(f"the shop did not take the order in {exhausted.attempts} attempts: {exhausted.detail}")


def read_order_id(body: bytes) -> str | None:
    """Return the ``id`` of the shop's order, from the answer itself or its ``order``; None without one.

    Raises:
        InvalidBody: the answer is no JSON, or not within the profile of :mod:`streamd.json`.
    """
    answer = check_json(body, noun="the answer")
    if isinstance(answer, dict) and "id" not in answer:
        answer = answer.get("order")
    found = answer.get("id") if isinstance(answer, dict) else None
    if isinstance(found, bool) or not isinstance(found, str | int):
        return None
    text = str(found)
    return text if 0 < len(text) <= _MAX_ID_CHARS and not find_invalid(text) else None
