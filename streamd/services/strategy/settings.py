"""Settings of the strategy generator."""

from typing import ClassVar

import attrs

from ...config import INT32_MAX, StreamSettings, at_most, group, not_negative, positive, setting, tuning


@attrs.frozen(kw_only=True)
class StrategySettings:
    """The strategy generator (/api/strategy)."""

    removed: ClassVar = {
        "max_field_chars": "a text in a profile has at most 2000 characters",
        "max_goals": "a profile has at most 20 goals",
        "max_channels": "a profile has at most 20 channels",
    }

    enabled: bool = setting(True, "Enable the service.")
    content_file: str = setting(
        "", "TOML file of educational content. Empty: conf/strategy.toml, which comes with streamd."
    )
    timeout_seconds: float = setting(
        300.0, "Time from the request for a strategy to its deadline (s).", positive
    )
    poll_seconds: float = tuning(10.0, "Retry-After of the status of a strategy in progress (s).", positive)
    text_seconds: float = tuning(
        0.1,
        "Minimum interval between two events with text (s; 0: one event for each piece of text).",
        not_negative,
    )
    max_body_bytes: int = tuning(65_536, "Maximum size of a profile (bytes).", positive, at_most(INT32_MAX))
    stream: StreamSettings = group(StreamSettings())
