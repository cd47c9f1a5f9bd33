"""Settings of the hub."""

from collections.abc import Iterator
from typing import ClassVar

import attrs

from ..config import Clash, check_order, positive, tuning


@attrs.frozen(kw_only=True)
class HubSettings:
    """The hub: fan-out from the log to subscriptions."""

    renamed: ClassVar = {"channel_capacity": "send_queue_events", "channel_bytes": "send_queue_bytes"}
    removed: ClassVar = {"pattern_cache_topics": "the cache holds 10_000 topics"}

    send_queue_events: int = tuning(
        256,
        "Maximum number of events in a subscriber's send queue (count). Then its overflow policy applies.",
        positive,
    )
    send_queue_bytes: int = tuning(
        1_048_576,
        "Maximum size of the send queue of a subscriber (bytes). A single event may be larger.",
        positive,
    )
    batch_events: int = tuning(
        256, "Maximum number of events that the fan-out takes from the log at once (count).", positive
    )
    batch_bytes: int = tuning(
        262_144,
        "Maximum size of such a batch, and of a page that a subscriber reads from the log (bytes).",
        positive,
    )
    ring_events: int = tuning(
        1024,
        "Maximum number of recent events in the ring, from which resuming subscribers join without reading "
        "the log (count).",
        positive,
    )
    ring_bytes: int = tuning(8_388_608, "Maximum size of the ring: topics, type and data (bytes).", positive)
    replay_reads: int = tuning(
        8,
        "Maximum number of subscribers that read the log in one pass of the event loop (count). Others wait "
        "for their turn, those that were live and lag before those that replay.",
        positive,
    )
    replay_bytes: int = tuning(
        67_108_864,
        "Size of pages that subscribers have read and not sent, above which they read less at once (bytes).",
        positive,
    )
    max_lag_events: int = tuning(
        20_000,
        "Maximum number of events that are published but not fanned out (count). Beyond it, publishing is "
        "rejected with 503.",
        positive,
    )
    turn_ms: float = tuning(
        0.1,
        "Time the fan-out works before other trio tasks run (ms). Its next turn lasts three times as long as "
        "they took: more events gather meanwhile, and leave in one write.",
        positive,
    )
    # Beside a storm of connections on a slow core, others take up to 5 ms, and the fan-out keeps a half.
    max_turn_ms: float = tuning(5.0, "Maximum length of such a turn (ms).", positive)

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions within the section."""
        yield from check_order(self, "turn_ms", "max_turn_ms", "a turn of the fan-out lies between them")
        yield from check_order(self, "batch_events", "ring_events", "the ring must hold a whole turn")
