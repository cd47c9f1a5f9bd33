"""The send queue of one connection: bounded frames between the fan-out and the connection's trio task."""

from collections.abc import Hashable

import trio

from ..events import Event, Frame, UnloggedEvent

_open_channel = trio.open_memory_channel[Frame]


class SendQueue:
    """Frames that one connection still has to send, first in, first out.

    Args:
        capacity: maximum number of queued frames.
        max_bytes: maximum bytes of the queued events together; a single event may have more.

    Attributes:
        waiting: number of queued frames.
    """

    __slots__ = ("_bytes", "_max_bytes", "_receive", "_send", "waiting")

    def __init__(self, capacity: int, max_bytes: int) -> None:
        self._send, self._receive = _open_channel(capacity)
        self._max_bytes = max_bytes
        self._bytes = 0  # of the queued events
        self.waiting = 0  # kept here because asking the channel costs more than a put

    def put_nowait(self, frame: Frame) -> bool:
        """Add a frame; return False when the queue is full or closed."""
        size = _event_bytes(frame)
        if self.waiting and self._bytes + size > self._max_bytes:
            return False
        try:
            self._send.send_nowait(frame)
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        self.waiting += 1
        self._bytes += size
        return True

    async def put(self, frame: Frame) -> None:
        """Add a frame, waiting for room; cancelled, the frame is not added.

        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError: the queue is closed.
        """
        self.waiting += 1
        try:
            await self._send.send(frame)
        except BaseException:
            self.waiting = max(0, self.waiting - 1)
            raise

    def end(self) -> None:
        """Refuse further frames; the queued ones can still be taken."""
        self._send.close()

    def drain(self) -> list[Frame]:
        """Take the queued frames without waiting."""
        frames: list[Frame] = []
        try:
            while True:
                frames.append(self._receive.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
            self.waiting = self._bytes = 0
            return frames

    async def get(self) -> list[Frame]:
        """Wait for a frame, then take all queued ones; return none when the queue is closed.

        Cancelling it loses no frame.
        """
        try:
            first = await self._receive.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            return []
        return [first, *self.drain()]

    def close(self) -> None:
        """Drop the queued frames and refuse further ones; :meth:`get` returns."""
        self._send.close()
        self._receive.close()


class LatestSendQueue(SendQueue):
    """A send queue that keeps only the newest event of each topic and type, in its new position.

    The frames are in a table, and the channel only wakes the reader. ``capacity`` and ``max_bytes``
    bound the different topics and types.

    Attributes:
        merged: number of events that a newer one replaced.
    """

    __slots__ = ("_capacity", "_closed", "_room", "_table", "merged")

    def __init__(self, capacity: int, max_bytes: int) -> None:
        super().__init__(1, max_bytes)
        self._capacity = capacity
        self._table: dict[Hashable, Frame] = {}
        self._room = trio.lowlevel.ParkingLot()
        self._closed = False
        self.merged = 0

    def put_nowait(self, frame: Frame) -> bool:
        key = conflation_key(frame)
        replaced = self._table.get(key)
        size = _event_bytes(frame) - (0 if replaced is None else _event_bytes(replaced))
        if replaced is None and len(self._table) >= self._capacity:
            return False
        if self._table and self._bytes + size > self._max_bytes:
            return False
        if not self._table and not self._wake_reader():
            return False
        if replaced is not None:
            del self._table[key]
            self.merged += 1
        self._table[key] = frame
        self._bytes += size
        self.waiting = len(self._table)
        return True

    def _wake_reader(self) -> bool:
        try:
            self._send.send_nowait(_WAKE_UP)
        except trio.WouldBlock:
            return True  # the reader was woken already, and has not run yet
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        return True

    async def put(self, frame: Frame) -> None:
        await trio.lowlevel.checkpoint()
        while not self.put_nowait(frame):
            if self._closed:
                raise trio.ClosedResourceError
            await self._room.park()

    def drain(self) -> list[Frame]:
        frames = list(self._table.values())
        self._table.clear()
        self.waiting = self._bytes = 0
        self._room.unpark_all()
        return frames

    def close(self) -> None:
        super().close()
        self._closed = True
        self._room.unpark_all()

    async def get(self) -> list[Frame]:
        frames = self.drain()
        while not frames:
            try:
                await self._receive.receive()
            except (trio.EndOfChannel, trio.ClosedResourceError):
                return []
            frames = self.drain()
        return frames


class _WakeUp:
    """The item in the channel of a :class:`LatestSendQueue`; never sent to a client."""

    sse = json = b""
    text = ""


_WAKE_UP = _WakeUp()


def conflation_key(frame: Frame) -> Hashable:
    """Return the key under which the policy ``latest`` replaces a frame: topic and type of an event."""
    return (frame.topics[0], frame.type) if isinstance(frame, Event) else id(frame)


def _event_bytes(frame: Frame) -> int:
    """Return the size of an event; 0 for control frames, which are small and few."""
    return frame.size if isinstance(frame, Event | UnloggedEvent) else 0
