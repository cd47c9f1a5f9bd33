"""Settings of the fan-out."""

from collections.abc import Iterator

import attrs

from ..config import Clash, check_order, positive, setting


@attrs.frozen(kw_only=True)
class HubSettings:
    """The fan-out: from the log's tail to subscriptions."""

    channel_capacity: int = setting(
        256,
        "Events waiting for one subscriber before its overflow policy applies (count).",
        positive,
    )
    channel_bytes: int = setting(
        1_048_576,
        "Bytes of events waiting for one subscriber before its overflow policy applies (bytes); a single "
        "event may have more.",
        positive,
    )
    batch_events: int = setting(256, "Events the fan-out takes from the log in one turn (count).", positive)
    batch_bytes: int = setting(
        262_144,
        "Bytes the fan-out takes from the log in one turn, and a subscriber's page of replay (bytes).",
        positive,
    )
    ring_events: int = setting(
        1024,
        "Events kept at hand so that a resuming subscriber joins without reading the log (count).",
        positive,
    )
    ring_bytes: int = setting(
        8_388_608,
        "Bytes of events kept at hand for that (bytes of topics, type and data).",
        positive,
    )
    max_lag_events: int = setting(
        20_000,
        "Events published but not yet fanned out before publishing is refused with 503 (count).",
        positive,
    )
    turn_ms: float = setting(
        0.1,
        "The fan-out lets other tasks run this often (ms), and goes on for as long as these took. Short "
        "turns let further events be published while one is fanned out, which then go out together.",
        positive,
    )
    max_turn_ms: float = setting(2.0, "The longest turn of the fan-out (ms).", positive)
    pattern_cache_topics: int = setting(
        10_000,
        "Topics whose matching patterns are remembered (count).",
        positive,
    )

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions within the section."""
        yield from check_order(self, "turn_ms", "max_turn_ms", "a turn of the fan-out lies between them")
        yield from check_order(self, "batch_events", "ring_events", "the ring must hold a whole turn")
