"""Settings of the research service."""

from typing import ClassVar

import attrs

from ...config import (
    INT32_MAX,
    RetrySettings,
    StreamSettings,
    at_most,
    group,
    positive,
    setting,
    tuning,
)


@attrs.frozen(kw_only=True)
class ResearchSettings:
    """The research service (/research/stream)."""

    renamed: ClassVar = {
        "dataset_attempts": "retry.attempts",
        "dataset_retry_seconds": "retry.backoff_seconds",
    }

    enabled: bool = setting(True, "Enable the service.")
    areas_file: str = setting(
        "", "TOML file of areas and their datasets. Empty: conf/research.toml, which comes with streamd."
    )
    timeout_seconds: float = setting(300.0, "Time from the start of a session to its deadline (s).", positive)
    keep_seconds: float = setting(86_400.0, "Retention of a session after its end (s).", positive)
    max_sessions: int = setting(
        1000,
        "Maximum number of stored sessions (count). Those that ended first are deleted first.",
        positive,
        reload=True,
    )
    compress_results: bool = setting(False, "Store results compressed (zlib).")
    stall_seconds: float = tuning(
        60.0, "Timeout of a session in which no dataset makes progress (s).", positive
    )
    parallel_datasets: int = tuning(
        4, "Maximum number of datasets that one session fetches at once (count).", positive
    )
    dataset_timeout_seconds: float = tuning(
        10.0,
        "Timeout of a file, a function or one attempt at an endpoint, unless the dataset sets its own (s).",
        positive,
    )
    max_dataset_bytes: int = tuning(4_194_304, "Maximum size of one dataset's answer (bytes).", positive)
    max_field_chars: int = tuning(
        200, "Maximum length of a field of a request (count of characters).", positive
    )
    max_body_bytes: int = tuning(16_384, "Maximum size of a request (bytes).", positive, at_most(INT32_MAX))
    stream: StreamSettings = group(StreamSettings())
    retry: RetrySettings = group(RetrySettings(max_wait_seconds=30.0), tuning=True)
