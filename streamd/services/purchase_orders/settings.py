"""Settings of the purchase orders service."""

import attrs

from ...config import INT32_MAX, at_most, not_negative, positive, setting


@attrs.frozen(kw_only=True)
class PurchaseOrderSettings:
    """Purchase orders, /api/purchase-orders and /api/realtime."""

    enabled: bool = setting(True, "Serve it.")
    default_merchant: str = setting(
        "", "Whose the orders are when a request names no merchant; empty: it must name one."
    )
    default_currency: str = setting(
        "USD", "ISO 4217 code of the currency of an order that names none, unless its merchant has another."
    )
    merchant_currencies: list[str] = setting(
        [], 'Currencies of merchants that have another, each MERCHANT=CODE, such as "acme=EUR".'
    )
    sync_url: str = setting(
        "", "Where orders are sent to (HTTP POST of JSON); empty: the sync is skipped, and says so."
    )
    sync_token: str = setting("", "Sent to it as a bearer token.", secret=True)
    sync_timeout_seconds: float = setting(10.0, "One try to send an order may take so long (s).", positive)
    sync_attempts: int = setting(4, "Tries to send an order (count).", positive, at_most(100))
    sync_backoff_seconds: float = setting(
        0.5, "Wait before the second try (s); it doubles before each further one.", positive
    )
    sync_max_wait_seconds: float = setting(
        30.0,
        "The longest wait between two tries (s); a shop that asks for a longer one is not tried again.",
        positive,
    )
    sync_max_answer_bytes: int = setting(1_048_576, "Largest answer taken from the shop (bytes).", positive)
    image_timeout_seconds: float = setting(5.0, "Looking at one image may take so long (s).", positive)
    image_max_bytes: int = setting(10_485_760, "Largest image (bytes).", positive)
    image_allow_private: bool = setting(
        False,
        "Look at images on private and loopback addresses, too. Whoever sends orders then chooses what this "
        "server asks inside its own network.",
    )
    timeout_seconds: float = setting(300.0, "An order that is not processed by then fails (s).", positive)
    max_body_bytes: int = setting(1_048_576, "Largest order (bytes).", positive, at_most(INT32_MAX))
    max_lines: int = setting(1000, "Line items of one order (count).", positive)
    max_field_chars: int = setting(1000, "Longest value in an order (count of characters).", positive)
    max_orders: int = setting(
        100_000, "Orders kept (count); they are not dropped, and beyond it none is taken.", positive
    )
    max_connections: int = setting(
        1000, "Streams at once (count); the next is answered 503 with Retry-After.", positive
    )
    heartbeat_seconds: float = setting(15.0, "Quiet time before a heartbeat (s).", positive)
    max_lifetime_seconds: float = setting(
        0.0, "A stream ends with `closing` after this, to reconnect (s; 0: no limit).", not_negative
    )
