"""The shop: the payload of an order, and sending it until the shop has taken it or it is given up.

Every try carries the same ``Idempotency-Key``, the order's id, so that a shop that took an order whose answer
was cut off takes it once. Tried again is what may pass: no connection, a cut-off or unreadable answer, 408,
425, 429 and 5xx; after a wait that doubles, or after the shop's ``Retry-After`` (RFC 9110 section 10.2.3)
where that is longer.
"""

import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs
import httpx
import msgspec
import trio

from ...errors import StreamdError
from ...outbound.fetch import read_retry_after, with_body
from .amounts import decimal_text
from .model import Order
from .settings import PurchaseOrderSettings

_TRIED_AGAIN: Final = frozenset({408, 425, 429})
_JITTER: Final = 0.2  # share of a wait that is random, so that orders that failed together do not return so
_MAX_ID_CHARS: Final = 200


class SyncFailed(StreamdError):
    """The shop has not taken the order; the sentence says why."""

    code = "sync-failed"
    status = 502


class _TryAgain(Exception):
    """This try came to nothing, another may; ``asked_seconds`` is what the shop wants us to wait."""

    def __init__(self, why: str, asked_seconds: float = 0.0) -> None:
        super().__init__(why)
        self.asked_seconds = asked_seconds


Waiting = Callable[[str], Awaitable[None]]
"""Told, in a sentence, that a try failed and when the next one is."""


def make_payload(po_id: str, merchant_id: str, order: Order) -> dict[str, Any]:
    """What the shop is sent: an order in the terms of Shopify's Admin API, money as text."""
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
class Answer:
    """What the shop said when it took the order."""

    status: int
    body: bytes


@attrs.frozen
class Shop:
    """Where orders are sent.

    Args:
        http: does not follow redirects.
        settings: the URL, the token, and the bounds of trying.
    """

    http: httpx.AsyncClient
    settings: PurchaseOrderSettings

    async def send(self, payload: bytes, key: str, waiting: Waiting) -> Answer:
        """Send an order until the shop takes it.

        Args:
            payload: JSON.
            key: the same for every try, also after a restart.
            waiting: told before each wait.

        Raises:
            SyncFailed: the shop refuses it, or there was no answer in all tries.

        Cancelled while a try is under way, the shop may have taken it.
        """
        settings = self.settings
        seconds = settings.sync_backoff_seconds
        for attempt in range(1, settings.sync_attempts + 1):
            try:
                return await self._try(payload, key)
            except _TryAgain as failed:
                if attempt == settings.sync_attempts:
                    raise SyncFailed(f"the shop did not take it in {attempt} tries: {failed}") from failed
                wait = max(seconds * (1 + _JITTER * random.random()), failed.asked_seconds)
                if failed.asked_seconds > settings.sync_max_wait_seconds:
                    raise SyncFailed(
                        f"{failed}, and asks to wait {failed.asked_seconds:g} s, which is too long"
                    ) from failed
                wait = min(wait, settings.sync_max_wait_seconds)
                await waiting(f"Try {attempt} of {settings.sync_attempts}: {failed}; next in {wait:.3g} s")
                await trio.sleep(wait)
                seconds *= 2
        raise AssertionError("the last try returns or raises")

    async def _try(self, payload: bytes, key: str) -> Answer:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Idempotency-Key": key}
        if self.settings.sync_token:
            headers["Authorization"] = f"Bearer {self.settings.sync_token}"
        try:
            with trio.fail_after(self.settings.sync_timeout_seconds):
                request = self.http.build_request("POST", self.settings.sync_url, headers=headers)
                response = await self.http.send(with_body(request, payload), stream=True)
                try:
                    body = await self._read(response)
                finally:
                    await response.aclose()
        except trio.TooSlowError as error:
            raise _TryAgain(f"no answer within {self.settings.sync_timeout_seconds:g} s") from error
        except httpx.RequestError as error:
            raise _TryAgain(f"the connection failed ({type(error).__name__})") from error
        return self._judge(response, body)

    async def _read(self, response: httpx.Response) -> bytes:
        body, most = bytearray(), self.settings.sync_max_answer_bytes
        with trio.CancelScope() as reading:
            async for part in response.aiter_bytes():
                body += part
                if len(body) > most:
                    reading.cancel()  # and go on: so all of httpx's generators end in order
        if len(body) > most:
            raise SyncFailed(f"the shop's answer is larger than {most} bytes")
        return bytes(body)

    def _judge(self, response: httpx.Response, body: bytes) -> Answer:
        status = response.status_code
        if response.is_success:
            if read_order_id(body) is None:
                raise _TryAgain("the shop's answer has no order id")
            return Answer(status, body)
        if status in _TRIED_AGAIN or status >= 500:
            raise _TryAgain(
                f"the shop answered {status}", read_retry_after(response.headers.get("retry-after")) or 0.0
            )
        raise SyncFailed(f"the shop refused it with {status}")


def read_order_id(body: bytes) -> str | None:
    """The ``id`` of the shop's order, at the top of its answer or in its ``order``; None without one."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    if isinstance(answer, dict) and "id" not in answer:
        answer = answer.get("order")
    found = answer.get("id") if isinstance(answer, dict) else None
    if isinstance(found, bool) or not isinstance(found, str | int):
        return None
    text = str(found)
    return text if 0 < len(text) <= _MAX_ID_CHARS and text.isprintable() else None
