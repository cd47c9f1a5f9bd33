"""Pages of the log in Redis: the matching events of a script's reply."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs

from ...events import Event, EventId, Selectors
from ..scan_time import ScanTime
from .codec import from_redis

_FIRST: Final = 2  # item of a reply that belongs to an event: its id, head and body
_ITEMS: Final = 3  # of an event

Decode = Callable[[EventId, bytes, bytes], tuple[Event, str] | None]
"""Decodes the head and body of an event, and its note; None for a damaged one, which it reports."""


@attrs.frozen
class PageBounds:
    """The bounds of a page: no event follows one that reaches one of them.

    Args:
        max_events: maximum number of events.
        max_bytes: their size.
        scan_time: the time for decoding and matching them.
    """

    max_events: int
    max_bytes: int
    scan_time: ScanTime


def select_events(
    reply: Sequence[Any],
    selectors: Selectors,
    bounds: PageBounds,
    decode: Decode,
    on_note: Callable[[Event, str], None],
) -> tuple[list[Event], EventId | None]:
    """Decode the events of a reply, and return those that match with the last id considered; None for all.

    Args:
        reply: of the script.
        selectors: the topics and patterns to match.
        bounds: of the page.
        decode: called for each event.
        on_note: called with the matching events that have a note.
    """
    events: list[Event] = []
    size = 0
    bounds.scan_time.begin()
    for scanned, index in enumerate(range(_FIRST, len(reply), _ITEMS), start=1):
        event_id = from_redis(reply[index])
        decoded = decode(event_id, reply[index + 1], reply[index + 2])
        if decoded is not None and selectors.matches(decoded[0].topics):
            if len(events) >= bounds.max_events or size >= bounds.max_bytes:
                return events, events[-1].id
            event, note = decoded
            if note:
                on_note(event, note)
            events.append(event)
            size += event.size
        if bounds.scan_time.is_over(scanned):
            return events, event_id if index + _ITEMS < len(reply) else None
    return events, None
