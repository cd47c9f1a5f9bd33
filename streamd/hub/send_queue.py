"""The send queue of one connection: bounded frames between the fan-out and the connection's trio task."""

from collections.abc import Hashable
from typing import Final

import trio

from ..events import Event, Frame, UnloggedEvent

_EVENTS: Final = (Event, UnloggedEvent)


class SendQueue:
    """Frames that one connection still has to send, first in, first out.

    Nearly all queues are empty nearly all the time, because the fan-out writes straight to the wire. So an
    empty one has no list, and nothing but the trio task that reads it: a memory channel would take 2 kB.

    Args:
        capacity: maximum number of queued frames.
        max_bytes: maximum bytes of the queued events together; a single event may have more.

    Attributes:
        waiting: number of queued frames.
    """

    __slots__ = ("_bytes", "_capacity", "_frames", "_is_ended", "_max_bytes", "_reader", "_room", "waiting")

    def __init__(self, capacity: int, max_bytes: int) -> None:
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._bytes = 0  # of the queued events
        self.waiting = 0
        self._frames: list[Frame] | None = None
        self._is_ended = False
        self._reader: trio.lowlevel.Task | None = None  # that waits in `get`
        self._room: trio.lowlevel.ParkingLot | None = None  # of those that wait in `put`

    def put_nowait(self, frame: Frame) -> bool:
        """Add a frame; return False when the queue is full or closed."""
        size = _event_bytes(frame)
        waiting = self.waiting
        if self._is_ended or waiting >= self._capacity or (waiting and self._bytes + size > self._max_bytes):
            return False
        if self._frames is None:
            self._frames = [frame]
        else:
            self._frames.append(frame)
        self.waiting = waiting + 1
        self._bytes += size
        self._wake_reader()
        return True

    async def put(self, frame: Frame) -> None:
        """Add a frame, waiting for room; cancelled, the frame is not added.

        Raises:
            trio.ClosedResourceError: the queue is closed.
        """
        await trio.lowlevel.checkpoint()
        while not self.put_nowait(frame):
            if self._is_ended:
                raise trio.ClosedResourceError
            self._room = self._room or trio.lowlevel.ParkingLot()
            await self._room.park()

    def end(self) -> None:
        """Refuse further frames; the queued ones can still be taken."""
        self._is_ended = True
        self._wake_reader()
        self._wake_writers()

    def drain(self) -> list[Frame]:
        """Take the queued frames without waiting."""
        frames = self._take()
        self.waiting = self._bytes = 0
        self._wake_writers()
        return frames

    def _take(self) -> list[Frame]:
        frames, self._frames = self._frames, None
        return frames or []

    async def get(self) -> list[Frame]:
        """Wait for a frame, then take all queued ones; return none when the queue is closed.

        Cancelling it loses no frame.

        Raises:
            trio.BusyResourceError: another trio task waits.
        """
        if self._reader is not None:
            raise trio.BusyResourceError("another trio task reads this queue")
        if self.waiting or self._is_ended:
            await trio.lowlevel.checkpoint()
        while not self.waiting and not self._is_ended:
            self._reader = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._stop_waiting)
        return self.drain()

    def _stop_waiting(self, _: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _wake_reader(self) -> None:
        if self._reader is not None:
            trio.lowlevel.reschedule(self._reader)
            self._reader = None

    def _wake_writers(self) -> None:
        if self._room is not None:
            self._room.unpark_all()
            self._room = None

    def close(self) -> None:
        """Drop the queued frames and refuse further ones; :meth:`get` returns."""
        self.end()
        self.drain()


class LatestSendQueue(SendQueue):
    """A send queue that keeps only the newest event of each topic and type, in its new position.

    ``capacity`` and ``max_bytes`` bound the different topics and types.

    Attributes:
        merged: number of events that a newer one replaced.
    """

    __slots__ = ("_table", "merged")

    def __init__(self, capacity: int, max_bytes: int) -> None:
        super().__init__(capacity, max_bytes)
        self._table: dict[Hashable, Frame] = {}
        self.merged = 0

    def put_nowait(self, frame: Frame) -> bool:
        key = conflation_key(frame)
        replaced = self._table.get(key)
        size = _event_bytes(frame) - (0 if replaced is None else _event_bytes(replaced))
        if self._is_ended or (replaced is None and len(self._table) >= self._capacity):
            return False
        if self._table and self._bytes + size > self._max_bytes:
            return False
        if replaced is not None:
            del self._table[key]
            self.merged += 1
        self._table[key] = frame
        self._bytes += size
        self.waiting = len(self._table)
        self._wake_reader()
        return True

    def _take(self) -> list[Frame]:
        frames = list(self._table.values())
        self._table.clear()
        return frames


def conflation_key(frame: Frame) -> Hashable:
    """Return the key under which the policy ``latest`` replaces a frame: topic and type of an event."""
    return (frame.topics[0], frame.type) if isinstance(frame, Event) else id(frame)


def _event_bytes(frame: Frame) -> int:
    """Return the size of an event; 0 for control frames, which are small and few."""
    return frame.size if isinstance(frame, _EVENTS) else 0
