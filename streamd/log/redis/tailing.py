"""Reading the tail of the log: the stream of new events, and the one that tells what has left it."""

from collections.abc import Sequence
from typing import Final

import attrs

from ...events import EARLIEST, EventId
from ...redis.link import RedisLink
from .codec import from_redis, to_redis

_ENTRIES: Final = 64  # read at once
_BYTES: Final = 1 << 20  # of one reading; the next is smaller after a larger one
_BLOCK_SECONDS: Final = 5.0


@attrs.frozen
class TailReading:
    """One reading of the tail.

    Args:
        entries: id and fields of each entry.
        moved: the last id that has left the stream of new events.
        is_empty: there was nothing to read.
    """

    entries: Sequence[tuple[bytes, Sequence[bytes]]]
    moved: EventId
    is_empty: bool


class TailReader:
    """Reads the tail, about as many bytes at once.

    Args:
        link: to the server.
        prefix: of the log's keys.
    """

    def __init__(self, link: RedisLink, prefix: str) -> None:
        self._link = link
        self._streams: Final = (f"{prefix}:log:2", f"{prefix}:log:moved")
        self._moved = EARLIEST
        self._entries_max = _ENTRIES

    async def read(self, after: EventId, *, waits: bool) -> TailReading:
        """Read the entries after a position; wait for some if there are none, but not for long.

        Raises:
            Disconnected, RedisError: see :meth:`.RedisLink.call`.
        """
        blocking = (b"BLOCK", round(_BLOCK_SECONDS * 1000)) if waits else ()
        reply = await self._link.call(
            b"XREAD", b"COUNT", self._entries_max, *blocking, b"STREAMS", *self._streams,
            to_redis(after), to_redis(self._moved), blocks_seconds=_BLOCK_SECONDS,
        )  # fmt: skip
        of_stream = {name.decode(): entries for name, entries in (reply or {}).items()}
        for entry_id, _ in of_stream.get(self._streams[1], ()):
            self._moved = from_redis(entry_id)
        entries = of_stream.get(self._streams[0], ())
        read_bytes = sum(len(field) for _, fields in entries for field in fields)
        self._entries_max = max(1, self._entries_max // 2) if read_bytes > _BYTES else _ENTRIES
        return TailReading(entries, self._moved, is_empty=not reply)
