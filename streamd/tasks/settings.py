"""Settings of tasks."""

from collections.abc import Iterator

import attrs

from ..config import INT32_MAX, Clash, at_most, check_order, positive, setting


@attrs.frozen(kw_only=True)
class TaskSettings:
    """Long pieces of work: how long they may take, and how long they are kept."""

    timeout_seconds: float = setting(
        300.0, "A task that has not ended this long after it was created fails (s).", positive
    )
    max_timeout_seconds: float = setting(86_400.0, "The longest time a caller may ask for (s).", positive)
    keep_seconds: float = setting(86_400.0, "A task that has ended is kept for so long (s).", positive)
    max_per_kind: int = setting(
        1000, "Tasks of one kind that are kept (count); those that ended first go first.", positive
    )
    gone_seconds: float = setting(
        604_800.0,
        "For so long after that it is remembered that a task was there (s): 410, not 404.",
        positive,
    )
    max_gone: int = setting(100_000, "Of so many tasks that is remembered (count).", positive)
    max_running: int = setting(
        100, "Tasks that run in this process at once (count); further ones wait as pending.", positive
    )
    lease_seconds: float = setting(
        30.0, "A worker that says nothing for so long has lost its task, which then fails (s).", positive
    )
    max_lease_seconds: float = setting(3600.0, "The longest lease a worker may ask for (s).", positive)
    sweep_seconds: float = setting(1.0, "How often leases, deadlines and expiry are looked at (s).", positive)
    max_steps: int = setting(200, "Steps of one task (count).", positive)
    max_text_bytes: int = setting(1_048_576, "Text that one task may stream (bytes).", positive)
    max_result_bytes: int = setting(8_388_608, "Largest result of a task, as JSON (bytes).", positive)
    max_event_result_bytes: int = setting(
        262_144,
        "Up to this size the last event of a task carries the result (bytes); a larger one is to be fetched.",
        positive,
    )
    max_body_bytes: int = setting(
        2_097_152, "Largest body of a request that makes a task (bytes).", positive, at_most(INT32_MAX)
    )
    max_input_bytes: int = setting(1_048_576, "Largest input of a task, as JSON (bytes).", positive)
    max_details_bytes: int = setting(
        65_536, "Further fields that a task's messages may carry, as JSON (bytes).", positive
    )
    max_listed: int = setting(1000, "Tasks that one answer lists at most (count).", positive)
    max_claim_wait_seconds: float = setting(
        55.0, "The longest that a worker may wait for a task to claim (s).", positive
    )
    publish_wait_seconds: float = setting(
        5.0,
        "How long a new stream waits for what is stored to be published before it is refused (s).",
        positive,
    )
    heartbeat_seconds: float = setting(
        15.0, "Quiet time before a heartbeat on a task's stream (s).", positive
    )
    compress_results: bool = setting(False, "Store results compressed (zlib).")

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions within the section."""
        yield from check_order(
            self, "timeout_seconds", "max_timeout_seconds", "callers may ask for as much as the default"
        )
        yield from check_order(
            self, "lease_seconds", "max_lease_seconds", "workers may ask for as much as the default"
        )
        yield from check_order(
            self,
            "max_event_result_bytes",
            "max_result_bytes",
            "the last event holds no more than a result",
        )
