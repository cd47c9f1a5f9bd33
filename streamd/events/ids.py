"""Event ids: ``{milliseconds:013d}-{sequence:06d}``.

They sort as strings in delivery order, carry the time of publishing, and are the same in every log.
"""

import re
from collections.abc import Callable
from typing import Any, Final, NewType

from ..characters import quoted
from ..errors import InvalidField

EventId = NewType("EventId", str)
"""A well-formed id. Two ids of one log compare in delivery order, as strings."""

EARLIEST: Final = EventId("0000000000000-000000")
"""The cursor before every event: reading after it replays the whole log, and is never a gap."""

EARLIEST_NAME: Final = "earliest"
"""The name of :data:`EARLIEST` in requests."""

SEQUENCE_MAX: Final = 999_999  # six digits; the next event gets the following millisecond
_FORM: Final = re.compile(r"[0-9]{13}-[0-9]{6}", re.ASCII)


def make_event_id(ms: int, sequence: int) -> EventId:
    """Build the id of the ``sequence``-th event (0 to 999,999) of a millisecond since 1970."""
    event_id: Any = "%013d-%06d" % (ms, sequence)  # noqa: UP031 - an f-string would take twice as long
    return event_id  # type: ignore[no-any-return] # a call of EventId costs as much as the text


def parse_event_id(text: str, *, field: str = "id") -> EventId:
    """Check that ``text`` is an event id or ``earliest``, and return the id.

    Raises:
        InvalidField: it is neither; the error names ``field``.
    """
    if text == EARLIEST_NAME:
        return EARLIEST
    if not _FORM.fullmatch(text):
        raise InvalidField(
            f"{field} must be an event id such as 1700000000000-000001, or 'earliest'; got {quoted(text)}",
            field=field,
        )
    return EventId(text)


def split_event_id(event_id: EventId) -> tuple[int, int]:
    """Return the milliseconds since 1970, and the sequence within that millisecond."""
    return int(event_id[:13]), int(event_id[14:])


class IdSequence:
    """Generates event ids that only grow, even when the clock is set back.

    The milliseconds are ``max(now, last)``. When a millisecond has used up its million sequence numbers,
    the next id takes the following millisecond.

    Args:
        now_ms: the wall clock, in milliseconds since 1970.
        last: the newest id already given out. None starts the sequence at the present millisecond, with
            a :attr:`last` that no event has.
    """

    __slots__ = ("_last", "_ms", "_now_ms", "_sequence")

    def __init__(self, now_ms: Callable[[], int], last: EventId | None = None) -> None:
        self._now_ms = now_ms
        self._ms, self._sequence = split_event_id(last) if last is not None else (now_ms(), 0)
        self._last = make_event_id(self._ms, self._sequence)

    @property
    def last(self) -> EventId:
        """The newest id given out."""
        return self._last

    def next(self) -> EventId:
        """Generate the next id, greater than all before it."""
        now = self._now_ms()
        if now > self._ms:
            self._ms, self._sequence = now, 0
        elif self._sequence < SEQUENCE_MAX:
            self._sequence += 1
        else:
            self._ms, self._sequence = self._ms + 1, 0
        self._last = make_event_id(self._ms, self._sequence)
        return self._last
