"""Settings of the sentiment dashboard."""

from collections.abc import Iterator
from typing import ClassVar

import attrs

from ...config import (
    INT32_MAX,
    Clash,
    LimitedStreamSettings,
    at_most,
    check_order,
    group,
    not_negative,
    positive,
    setting,
    tuning,
)


@attrs.frozen(kw_only=True)
class SentimentSettings:
    """The sentiment dashboard (/api/v2)."""

    removed: ClassVar = {"window_seconds": "totals cover 24 h, as the fields of the metrics say"}

    enabled: bool = setting(True, "Enable the service.")
    max_items: int = setting(
        1_000_000,
        "Maximum number of items in the window, some 50 bytes of memory each (count). Further ones are "
        "rejected with 503.",
        positive,
        reload=True,
    )
    max_tickers: int = tuning(
        10_000,
        "Maximum number of tickers with items in the window (count). Items of further ones are rejected "
        "with 503.",
        positive,
    )
    max_ahead_seconds: float = tuning(
        60.0,
        "Maximum time by which an item's timestamp may be ahead of the server's clock (s).",
        not_negative,
        at_most(86_400),
    )
    metrics_min_seconds: float = tuning(1.0, "Minimum interval of metrics after changes (s).", positive)
    metrics_max_seconds: float = tuning(30.0, "Maximum interval of metrics without changes (s).", positive)
    max_unpublished: int = tuning(
        10_000,
        "Maximum number of items that wait to be published (count). Further ones are rejected with 503.",
        positive,
    )
    max_items_per_request: int = tuning(1000, "Maximum number of items in one request (count).", positive)
    max_body_bytes: int = tuning(
        2_097_152,
        "Maximum size of a request with items (bytes). The texts that are scored have a limit of their own.",
        positive,
        at_most(INT32_MAX),
    )
    max_text_chars: int = tuning(10_000, "Maximum length of an item's text (count of characters).", positive)
    max_item_id_chars: int = tuning(
        128, "Maximum length of an item's id (count of characters).", positive, at_most(200)
    )
    load_wait_seconds: float = tuning(
        10.0,
        "Timeout of a request that waits for the stored items to be loaded after a start (s); then 503.",
        positive,
    )
    stream: LimitedStreamSettings = group(
        LimitedStreamSettings(heartbeat_seconds=30.0, max_lifetime_seconds=900.0, max_connections=100)
    )

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions within the section."""
        yield from check_order(
            self, "metrics_min_seconds", "metrics_max_seconds", "metrics are due between them"
        )
