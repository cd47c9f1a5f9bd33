"""Settings of the sentiment dashboard."""

from collections.abc import Iterator

import attrs

from ...config import INT32_MAX, Check, Clash, at_most, check_order, not_negative, positive, setting


@attrs.frozen(kw_only=True)
class SentimentSettings:
    """The sentiment dashboard, /api/v2."""

    enabled: bool = setting(True, "Serve it.")
    max_connections: int = setting(
        100, "Streams at once (count); the next is answered 503 with Retry-After.", positive
    )
    window_seconds: float = setting(
        86_400.0,
        "What the totals cover (s); an hour at least, since the rate of the last hour is a part of it.",
        Check("at least 3_600", lambda value: value >= 3600),
        at_most(31_536_000),
    )
    max_ahead_seconds: float = setting(
        60.0,
        "An item's timestamp may be ahead of this clock by so much (s); it counts at once.",
        not_negative,
        at_most(86_400),
    )
    metrics_min_seconds: float = setting(1.0, "Metrics after changes at most this often (s).", positive)
    metrics_max_seconds: float = setting(30.0, "Metrics at least this often (s).", positive)
    max_items: int = setting(
        1_000_000,
        "Items kept for the totals (count), some 50 bytes of memory each; beyond it none is taken (503).",
        positive,
    )
    max_tickers: int = setting(
        10_000,
        "Tickers that have items in the window (count); an item of a further one is not taken (503).",
        positive,
    )
    max_unpublished: int = setting(
        10_000, "Items that wait to be published (count); beyond it none is taken (503).", positive
    )
    max_items_per_request: int = setting(1000, "Items in one request (count).", positive)
    max_body_bytes: int = setting(
        2_097_152,
        "Largest request that brings items (bytes): scoring a megabyte takes a second or two.",
        positive,
        at_most(INT32_MAX),
    )
    max_text_chars: int = setting(10_000, "Longest text of an item (count of characters).", positive)
    max_item_id_chars: int = setting(
        128, "Longest id of an item (count of characters).", positive, at_most(200)
    )
    load_wait_seconds: float = setting(
        10.0,
        "After a start, a request waits so long for what is kept to be read (s); then it is answered 503.",
        positive,
    )
    heartbeat_seconds: float = setting(30.0, "Time between heartbeats (s).", positive)
    max_lifetime_seconds: float = setting(
        900.0, "A stream ends with `closing` after this, to reconnect (s; 0: no limit).", not_negative
    )

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions within the section."""
        yield from check_order(
            self, "metrics_min_seconds", "metrics_max_seconds", "metrics are due between them"
        )
