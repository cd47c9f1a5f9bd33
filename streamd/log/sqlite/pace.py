"""The size of pages, adapted to the time that reading them takes."""

from typing import Final

_EVENTS_MIN: Final = 16
_EVENTS_MAX: Final = 4096
_SLOW_SECONDS: Final = 0.02  # a checkpoint, and so each write, may have to wait for a page
_FAST_SECONDS: Final = 0.005


class PagePace:
    """The maximum number of events in a page, so that a slow disk bounds its time as well.

    Attributes:
        max_events: of the next page.
    """

    def __init__(self) -> None:
        self.max_events = _EVENTS_MAX

    def note(self, events: int, seconds: float) -> None:
        """Halve the next page after a slow one, or let it grow again.

        Args:
            events: maximum number of events of the page.
            seconds: time that it took (s).
        """
        if seconds > _SLOW_SECONDS:
            self.max_events = max(_EVENTS_MIN, events // 2)
        elif seconds < _FAST_SECONDS:
            self.max_events = min(_EVENTS_MAX, self.max_events * 2)
