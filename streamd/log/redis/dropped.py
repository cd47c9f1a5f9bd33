"""The newest dropped event of each topic, as far as this node knows it."""

from collections.abc import Sequence
from typing import Final

from ...events import EARLIEST, EventId, Selectors
from ...time_slice import TimeSlice
from ..boundaries import Boundaries, Boundary
from ..truncation import TruncationRecords
from .codec import from_redis
from .janitor import DROPPED_RECORDS_MAX

NOTHING: Final = Selectors()
_STEP: Final = 64  # items of a reply, two for each topic, between looks at the clock


class DroppedEvents:
    """A copy of the log's records of drops, which each read brings up to date.

    Attributes:
        count: of the drops that are known; a read asks for those after it.
    """

    def __init__(self) -> None:
        self.count = 0
        self._records = TruncationRecords(2 * DROPPED_RECORDS_MAX)  # the janitor folds those beyond its bound
        self._slice = TimeSlice()

    async def update(self, reply: Sequence[bytes], selectors: Selectors = NOTHING) -> EventId:
        """Take over a script's reply: the count, the newest of folded records, and topics with ids.

        Returns:
            The newest of the reply's records whose topic is selected, or that are folded; EARLIEST for none.
        """
        found = from_redis(reply[1]) if reply[1] else EARLIEST
        self._records.fold_until(found)
        for index in range(2, len(reply), 2):
            if index % _STEP == 0:
                await self._slice.pause()
            if reply[index + 1]:
                event_id = from_redis(reply[index + 1])
                topic = reply[index].decode(errors="replace")
                self._records.record(topic, event_id)
                if event_id > found and selectors.matches((topic,)):
                    found = event_id
        self.count = max(self.count, int(reply[0]))
        return found

    async def newest(self, selectors: Selectors, after: EventId) -> EventId:
        """Return the newest matching event after a position that was dropped, or an earlier id.

        It returns in the step in which the answer is right for :attr:`count`.
        """
        return await self._records.find(selectors, after)


def parse_boundaries(texts: Sequence[bytes]) -> Boundaries:
    """Return the boundaries that a script has returned, each as its start, last id and lost id."""
    parts = [text.split(b" ") for text in texts]
    return Boundaries(
        [
            Boundary(from_redis(start), from_redis(last), from_redis(lost) if lost else None)
            for start, last, lost in parts
        ]
    )
