"""Settings of tasks."""

from collections.abc import Iterator
from typing import ClassVar

import attrs

from ..config import INT32_MAX, Clash, at_most, check_order, positive, setting, tuning


@attrs.frozen(kw_only=True)
class TaskSettings:
    """Tasks: timeouts, leases, limits and retention."""

    renamed: ClassVar = {"gone_seconds": "tombstone_seconds", "max_gone": "max_tombstones"}
    removed: ClassVar = {
        "max_listed": "GET /tasks lists at most 1000",
        "max_claim_wait_seconds": "poll.max_wait_seconds limits claims, too",
        "publish_wait_seconds": "a new stream always waits up to 5 s for stored messages to be published",
        "heartbeat_seconds": "connections.heartbeat_seconds holds for the streams of tasks, too",
    }

    timeout_seconds: float = setting(
        300.0,
        "Time from the creation of a task to its deadline, unless the caller sets another (s).",
        positive,
    )
    max_timeout_seconds: float = tuning(86_400.0, "Maximum timeout that a caller may set (s).", positive)
    keep_seconds: float = setting(86_400.0, "Retention of a task after its end (s).", positive)
    max_per_kind: int = setting(
        1000,
        "Maximum number of stored tasks of one kind (count). Those that ended first are deleted first.",
        positive,
        reload=True,
    )
    max_tasks: int = tuning(
        10_000,
        "Maximum number of stored tasks of all kinds together (count), and at least max_per_kind. Near it, "
        "those that ended first are deleted first.",
        positive,
    )
    tombstone_seconds: float = setting(
        604_800.0, "Time for which the id of a deleted task answers 410 Gone instead of 404 (s).", positive
    )
    max_tombstones: int = tuning(
        100_000, "Maximum number of deleted tasks whose ids answer so (count).", positive
    )
    max_running: int = setting(
        100,
        "Maximum number of tasks that run in this process at once (count). Further ones stay pending. Half "
        "of these slots are divided among the kinds of work, so that no kind waits for all tasks of another.",
        positive,
        reload=True,
    )
    lease_seconds: float = setting(
        30.0,
        "Lease of a worker, renewed by each of its reports (s). When it runs out, the task fails as stalled.",
        positive,
    )
    max_lease_seconds: float = tuning(3600.0, "Maximum lease that a worker may request (s).", positive)
    sweep_seconds: float = tuning(
        1.0, "Interval of the checks of leases, deadlines and retention (s).", positive
    )
    max_steps: int = tuning(200, "Maximum number of steps of a task (count).", positive)
    max_text_bytes: int = tuning(1_048_576, "Maximum size of the text that a task streams (bytes).", positive)
    max_result_bytes: int = setting(8_388_608, "Maximum size of a result, as JSON (bytes).", positive)
    max_event_result_bytes: int = tuning(
        262_144,
        "Maximum size of a result that the last event of a task carries (bytes). Clients fetch larger ones,"
        " and those with more than 5,000 arrays and objects.",
        positive,
    )
    max_body_bytes: int = tuning(
        2_097_152,
        "Maximum size of a request that creates a task (bytes).",
        positive,
        at_most(INT32_MAX),
    )
    max_input_bytes: int = tuning(1_048_576, "Maximum size of a task's input, as JSON (bytes).", positive)
    max_details_bytes: int = tuning(
        65_536, "Maximum size of the further fields of a task's messages, as JSON (bytes).", positive
    )
    compress_results: bool = setting(False, "Store results compressed (zlib).")

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions within the section."""
        yield from check_order(
            self, "timeout_seconds", "max_timeout_seconds", "the default must be one that a caller may set"
        )
        yield from check_order(
            self, "lease_seconds", "max_lease_seconds", "the default must be one that a worker may request"
        )
        yield from check_order(
            self,
            "max_event_result_bytes",
            "max_result_bytes",
            "the last event holds no more than a result",
        )
