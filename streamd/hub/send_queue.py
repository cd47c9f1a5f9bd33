"""The bounded memory channel between those who have something to send and a connection's own task."""

from collections.abc import Hashable

import trio

from ..events import Event, Frame

_open_channel = trio.open_memory_channel[Frame]


class SendQueue:
    """Frames waiting for one connection, first in first out.

    Args:
        capacity: the most frames that may wait (count).
        max_bytes: the most that events among them may have together; one that is alone may have more.

    Attributes:
        waiting: frames that nobody has taken yet (count).
    """

    __slots__ = ("_bytes", "_max_bytes", "_receive", "_send", "waiting")

    def __init__(self, capacity: int, max_bytes: int) -> None:
        self._send, self._receive = _open_channel(capacity)
        self._max_bytes = max_bytes
        self._bytes = 0  # of the events that wait
        self.waiting = 0  # asking the channel itself costs more than a put

    def put_nowait(self, frame: Frame) -> bool:
        """Add a frame; False when there is no room or nobody takes any more."""
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
        """Add a frame, waiting for room.

        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError: nobody takes any more.
        """
        self.waiting += 1
        try:
            await self._send.send(frame)
        except BaseException:
            self.waiting = max(0, self.waiting - 1)
            raise

    def end(self) -> None:
        """Nobody puts any more; what waits can still be taken."""
        self._send.close()

    def drain(self) -> list[Frame]:
        """Take what is there, without waiting."""
        frames: list[Frame] = []
        try:
            while True:
                frames.append(self._receive.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
            self.waiting = self._bytes = 0
            return frames

    async def get(self) -> list[Frame]:
        """Wait for a frame, then take all that are there; empty when the outbox is closed.

        Cancelled while waiting, or not at all: no frame is lost.
        """
        try:
            first = await self._receive.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            return []
        return [first, *self.drain()]

    def close(self) -> None:
        """Nobody puts or takes any more; what waits is dropped."""
        self._send.close()
        self._receive.close()


class LatestSendQueue(SendQueue):
    """Keeps only the newest event of each topic and type, in its new position.

    Frames wait in a table; the channel is its bell. ``capacity`` and ``max_bytes`` bound the different
    topics and types that may wait.

    Attributes:
        merged: how many events were replaced by a newer one.
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
        if not self._table and not self._ring():
            return False
        if replaced is not None:
            del self._table[key]
            self.merged += 1
        self._table[key] = frame
        self._bytes += size
        self.waiting = len(self._table)
        return True

    def _ring(self) -> bool:
        try:
            self._send.send_nowait(_BELL)
        except trio.WouldBlock:
            return True  # it has been rung, and nobody has come yet
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


class _Bell:
    """What the channel of a :class:`LatestSendQueue` carries; never sent to anybody."""

    sse = json = b""
    text = ""


_BELL = _Bell()


def conflation_key(frame: Frame) -> Hashable:
    """Frames with equal keys replace each other under the policy ``latest``."""
    return (frame.topics[0], frame.type) if isinstance(frame, Event) else id(frame)


def _event_bytes(frame: Frame) -> int:
    """What an event weighs; control frames are small, and few."""
    return frame.size if isinstance(frame, Event) else 0
