"""The newest dropped event of each topic, as far as this node knows it."""

from collections.abc import Sequence

from ...events import EARLIEST, EventId, Selectors
from ..boundaries import Boundaries, Boundary
from .codec import from_redis


class DroppedEvents:
    """A copy of the log's records of drops, which each read brings up to date.

    Attributes:
        count: of the drops that are known; a read asks for those after it.
    """

    def __init__(self) -> None:
        self.count = 0
        self._folded = EARLIEST
        self._newest: dict[str, EventId] = {}
        self._last = EARLIEST

    def update(self, reply: Sequence[bytes]) -> None:
        """Take over a script's reply: the count, the newest of folded records, and topics with ids."""
        count = int(reply[0])
        if count <= self.count:
            return
        self.count = count
        if reply[1]:
            folded = max(self._folded, from_redis(reply[1]))
            if folded > self._folded:
                self._folded = folded
                self._newest = {topic: each for topic, each in self._newest.items() if each > folded}
        for index in range(2, len(reply), 2):
            if reply[index + 1]:
                event_id = from_redis(reply[index + 1])
                self._newest[reply[index].decode(errors="replace")] = event_id
                self._last = max(self._last, event_id)

    def newest(self, selectors: Selectors, after: EventId) -> EventId | None:
        """Return the newest matching event after a position that was dropped; None for none."""
        found = self._folded
        if self._last > after:
            if selectors.patterns:
                for topic, event_id in self._newest.items():
                    if event_id > found and event_id > after and selectors.matches((topic,)):
                        found = event_id
            else:
                for topic in selectors.topics:
                    found = max(found, self._newest.get(topic, EARLIEST))
        return found if found > after else None


def parse_boundaries(texts: Sequence[bytes]) -> Boundaries:
    """Return the boundaries that a script has returned, each as its start, last id and lost id."""
    parts = [text.split(b" ") for text in texts]
    return Boundaries(
        [
            Boundary(from_redis(start), from_redis(last), from_redis(lost) if lost else None)
            for start, last, lost in parts
        ]
    )
