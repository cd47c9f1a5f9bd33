"""Settings of the purchase orders service."""

from typing import ClassVar, Final

import attrs

from ...config import (
    INT32_MAX,
    Check,
    LimitedStreamSettings,
    RetrySettings,
    at_most,
    group,
    positive,
    setting,
    tuning,
)
from ...errors import InvalidField
from ...outbound import is_http_url, is_token
from .amounts import CURRENCIES
from .identity import check_merchant

_PUBLISHED_BY_TASKS: Final = "events of merchants are stored, and published until the log has them"


def _is_merchant(text: str) -> bool:
    try:
        check_merchant(text)
    except InvalidField:
        return False
    return True


def _are_currencies(entries: list[str]) -> bool:
    """Return True if each entry is MERCHANT=CODE, and no merchant occurs twice."""
    pairs = [entry.rpartition("=") for entry in entries]
    merchants = [merchant_id for merchant_id, _, _ in pairs]
    return all(_is_merchant(merchant_id) and code in CURRENCIES for merchant_id, _, code in pairs) and len(
        set(merchants)
    ) == len(merchants)


@attrs.frozen(kw_only=True)
class PurchaseOrderSettings:
    """Purchase orders (/api/purchase-orders and /api/realtime)."""

    renamed: ClassVar = {
        "sync_attempts": "retry.attempts",
        "sync_backoff_seconds": "retry.backoff_seconds",
        "sync_max_wait_seconds": "retry.max_wait_seconds",
    }
    removed: ClassVar = {
        "merchant_claim": "streamd reads no tokens yet, and nothing used it",
        "images_at_once": "the images of an order are always checked four at a time",
        "enrich_lines_at_once": "a prompt always has up to 25 lines",
        "publish_attempts": _PUBLISHED_BY_TASKS,
        "publish_backoff_seconds": _PUBLISHED_BY_TASKS,
        "max_waiting_events": _PUBLISHED_BY_TASKS,
        "sweep_seconds": "an order ends with its task",
    }

    enabled: bool = setting(True, "Enable the service.")
    default_merchant: str = setting(
        "",
        "Merchant of orders whose request names none. Empty: a request must name one.",
        Check("empty, or a valid id of a merchant", lambda text: not text or _is_merchant(text)),
    )
    default_currency: str = setting(
        "USD",
        "Currency of orders that name none, unless their merchant has another (ISO 4217).",
        Check("the code of a currency in common use", lambda code: code in CURRENCIES),
    )
    merchant_currencies: list[str] = setting(
        [],
        'Currencies of merchants with one of their own, each MERCHANT=CODE, such as "acme=EUR".',
        Check("MERCHANT=CODE with a merchant and a currency, each merchant once", _are_currencies),
    )
    max_orders: int = setting(
        100_000,
        "Maximum number of stored orders (count). They are not deleted; further ones are rejected.",
        positive,
        reload=True,
    )
    timeout_seconds: float = setting(
        300.0, "Time from the receipt of an order to its deadline (s).", positive
    )
    sync_url: str = setting(
        "",
        "URL that orders are sent to (HTTP POST of JSON). Empty: orders are not sent, and say so.",
        Check("empty, or an http or https URL", lambda text: not text or is_http_url(text)),
    )
    sync_token: str = setting(
        "", "Bearer token for that URL.", Check("printable ASCII without spaces", is_token), secret=True
    )
    sync_timeout_seconds: float = tuning(10.0, "Timeout of one attempt to send an order (s).", positive)
    sync_max_answer_bytes: int = tuning(1_048_576, "Maximum size of the shop's answer (bytes).", positive)
    retry: RetrySettings = group(RetrySettings(attempts=4, max_wait_seconds=30.0), tuning=True)
    image_allow_private: bool = setting(
        False,
        "Also check images on private and loopback addresses. Then anyone who can send orders can make this "
        "server send requests into its own network.",
    )
    image_timeout_seconds: float = tuning(5.0, "Timeout for checking one image (s).", positive)
    image_max_bytes: int = tuning(10_485_760, "Maximum size of an image (bytes).", positive)
    max_body_bytes: int = tuning(1_048_576, "Maximum size of an order (bytes).", positive, at_most(INT32_MAX))
    max_lines: int = tuning(1000, "Maximum number of line items of an order (count).", positive)
    max_field_chars: int = tuning(
        1000, "Maximum length of a value in an order (count of characters).", positive
    )
    stream: LimitedStreamSettings = group(LimitedStreamSettings(max_connections=1000))
