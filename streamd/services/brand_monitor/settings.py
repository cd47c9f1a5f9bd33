"""Settings of the brand monitor."""

from typing import ClassVar

import attrs

from ...config import INT32_MAX, StreamSettings, at_most, group, positive, setting, tuning


@attrs.frozen(kw_only=True)
class BrandMonitorSettings:
    """The brand monitor (/api/brand-monitor)."""

    removed: ClassVar = {
        "max_terms": "a result has the 30 most frequent terms",
        "threads": "large analyses are computed by the processes of tuning.computing, small ones by a thread",
        "slice_seconds": "a check for cancellation follows 65,536 characters of mentions at most",
    }

    enabled: bool = setting(True, "Enable the service.")
    timeout_seconds: float = setting(
        300.0, "Time from the request for an analysis to its deadline (s).", positive
    )
    max_mentions: int = setting(10_000, "Maximum number of mentions in one analysis (count).", positive)
    max_competitors: int = tuning(50, "Maximum number of competitors in one analysis (count).", positive)
    max_name_chars: int = tuning(
        100, "Maximum length of the name of a brand or a source (count of characters).", positive
    )
    max_text_chars: int = tuning(
        5000,
        "Maximum length of a mention's text (count of characters). Scoring may take time with its square.",
        positive,
    )
    max_body_bytes: int = tuning(
        8_388_608,
        "Maximum size of a request (bytes). events.max_body_bytes applies, too.",
        positive,
        at_most(INT32_MAX),
    )
    slice_mentions: int = tuning(
        200,
        "Maximum number of mentions that are analysed between two checks for cancellation (count).",
        positive,
    )
    stream: StreamSettings = group(StreamSettings(heartbeat_seconds=30.0))
