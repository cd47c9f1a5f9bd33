"""Settings of the brand monitor."""

import attrs

from ...config import INT32_MAX, at_most, not_negative, positive, setting


@attrs.frozen(kw_only=True)
class BrandMonitorSettings:
    """The brand monitor, /api/brand-monitor."""

    enabled: bool = setting(True, "Serve it.")
    timeout_seconds: float = setting(300.0, "An analysis that is not done by then fails (s).", positive)
    max_mentions: int = setting(10_000, "Mentions in one analysis (count).", positive)
    max_competitors: int = setting(50, "Competitors in one analysis (count).", positive)
    max_terms: int = setting(30, "Most frequent terms in the result (count).", positive)
    max_name_chars: int = setting(100, "Longest name of a brand or a source (count of characters).", positive)
    max_text_chars: int = setting(
        5000, "Longest text of a mention (count of characters); scoring may take its square.", positive
    )
    max_body_bytes: int = setting(
        8_388_608,
        "Largest request (bytes); events.max_body_bytes holds, too.",
        positive,
        at_most(INT32_MAX),
    )
    threads: int = setting(2, "Threads that analyse at once (count).", positive)
    slice_mentions: int = setting(
        200, "Mentions analysed between two looks at whether to go on (count).", positive
    )
    slice_seconds: float = setting(0.25, "The same as time (s); whichever comes first.", positive)
    heartbeat_seconds: float = setting(30.0, "Quiet time before a heartbeat (s).", positive)
    max_lifetime_seconds: float = setting(
        0.0, "A stream ends with `closing` after this, to reconnect (s; 0: no limit).", not_negative
    )
