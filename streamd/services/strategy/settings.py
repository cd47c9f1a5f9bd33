"""Settings of the strategy generator."""

import attrs

from ...config import INT32_MAX, at_most, not_negative, positive, setting


@attrs.frozen(kw_only=True)
class StrategySettings:
    """The strategy generator, /api/strategy."""

    enabled: bool = setting(True, "Serve it.")
    content_file: str = setting(
        "",
        "TOML file of educational content; empty for conf/strategy.toml, which comes with streamd.",
    )
    timeout_seconds: float = setting(300.0, "A strategy that is not done by then fails (s).", positive)
    poll_seconds: float = setting(10.0, "What Retry-After of the status says (s).", positive)
    text_seconds: float = setting(
        0.1,
        "Text goes out at most this often, what came in between as one event (s; 0: each piece by itself).",
        not_negative,
    )
    max_field_chars: int = setting(
        2000, "Longest text of a profile's field, or of one goal or channel (count of characters).", positive
    )
    max_goals: int = setting(20, "Goals in one profile (count).", positive)
    max_channels: int = setting(20, "Channels in one profile (count).", positive)
    max_body_bytes: int = setting(65_536, "Largest profile (bytes).", positive, at_most(INT32_MAX))
    heartbeat_seconds: float = setting(15.0, "Quiet time before a heartbeat (s).", positive)
    max_lifetime_seconds: float = setting(
        0.0, "A stream ends with `closing` after this, to reconnect (s; 0: no limit).", not_negative
    )
