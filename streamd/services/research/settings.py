"""Settings of the research service."""

import attrs

from ...config import INT32_MAX, at_most, not_negative, positive, setting


@attrs.frozen(kw_only=True)
class ResearchSettings:
    """The research service, /research/stream."""

    enabled: bool = setting(True, "Serve it.")
    areas_file: str = setting(
        "", "TOML file of areas and their datasets; empty for conf/research.toml, which comes with streamd."
    )
    timeout_seconds: float = setting(300.0, "A session that has not ended by then fails (s).", positive)
    keep_seconds: float = setting(86_400.0, "A session is kept for so long (s).", positive)
    max_sessions: int = setting(1000, "Sessions kept (count); those that ended first go first.", positive)
    compress_results: bool = setting(False, "Store results compressed (zlib).")
    stall_seconds: float = setting(
        60.0, "A session of which no dataset gives a sign of life for so long fails (s).", positive
    )
    parallel_datasets: int = setting(4, "Datasets of one session that are fetched at once (count).", positive)
    dataset_timeout_seconds: float = setting(
        10.0,
        "A file, a function or one try at an endpoint may take so long (s); a dataset may say.",
        positive,
    )
    dataset_attempts: int = setting(
        3, "Tries at an endpoint (count); a dataset may say its own.", positive, at_most(100)
    )
    dataset_retry_seconds: float = setting(
        0.5, "Time before the second try, doubled for each further one (s); a dataset may say.", positive
    )
    max_dataset_bytes: int = setting(4_194_304, "Largest answer of one dataset's source (bytes).", positive)
    max_field_chars: int = setting(
        200, "Longest text of a field of a request (count of characters).", positive
    )
    max_body_bytes: int = setting(16_384, "Largest request (bytes).", positive, at_most(INT32_MAX))
    heartbeat_seconds: float = setting(15.0, "Quiet time before a heartbeat (s).", positive)
    max_lifetime_seconds: float = setting(
        0.0, "A stream ends with `closing` after this, to reconnect (s; 0: no limit).", not_negative
    )
