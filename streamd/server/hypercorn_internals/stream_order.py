"""The order in which the streams of an HTTP/2 connection send: each one frame, in turn.

Clients' priorities are deprecated and ignored (RFC 9113 section 5.3). So this takes the place of Hypercorn's
tree of them, in which the time to remove a stream grows with the number of streams.
"""

from collections import OrderedDict
from typing import Self

from priority.priority import DeadlockError


class StreamOrder:
    """The streams that may have something to send. It has the methods of ``PriorityTree`` that are used."""

    __slots__ = ("_active", "_inserted")

    def __init__(self) -> None:
        self._inserted: set[int] = set()
        # The one whose turn is next comes first. OrderedDict, because the first item of a dict is searched
        # behind the places of all deleted ones.
        self._active: OrderedDict[int, None] = OrderedDict()

    def insert_stream(self, stream_id: int) -> None:
        """Add a stream, which may send."""
        self._inserted.add(stream_id)
        self._active[stream_id] = None

    def remove_stream(self, stream_id: int) -> None:
        """Forget a stream."""
        self._inserted.discard(stream_id)
        self._active.pop(stream_id, None)

    def block(self, stream_id: int) -> None:
        """Leave a stream out until :meth:`unblock`: it has nothing to send, or no window."""
        self._active.pop(stream_id, None)

    def unblock(self, stream_id: int) -> None:
        """Let a stream send again, after those that may already; ignore one that is not known."""
        if stream_id in self._inserted:
            self._active.setdefault(stream_id)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> int:
        """Return the stream whose turn it is.

        Raises:
            DeadlockError: none may send.
        """
        if not self._active:
            raise DeadlockError("no stream may send")
        stream_id = next(iter(self._active))
        self._active.move_to_end(stream_id)
        return stream_id
