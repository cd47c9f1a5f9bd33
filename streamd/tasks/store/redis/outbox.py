"""The outbox of the task store in Redis."""

from collections.abc import Sequence
from typing import Final

import msgspec

from ....log.redis.access import RedisAccess
from ....unreadable import DAMAGE, as_text
from ..port import Outgoing, PublishedMessage
from ..rows import TaskRows
from . import scripts
from .writes import row_name, unpack_row

_encode: Final = msgspec.msgpack.Encoder().encode


class RedisOutbox:
    """Rows to be published: those of stores without a publisher, and those that follow them.

    Args:
        access: runs the scripts.
        rows: decodes rows.

    Attributes:
        is_drained: False from the time when a script has found rows until they are seen to be gone.
    """

    def __init__(self, access: RedisAccess, rows: TaskRows) -> None:
        self._access = access
        self._rows = rows
        self.is_drained = True

    async def unpublished(self, limit: int) -> list[Outgoing]:
        """Return the oldest rows to be published; those that do not even tell their task are removed."""
        while True:
            reply = await self._access.ask(scripts.UNPUBLISHED, limit)
            found: list[Outgoing] = []
            lost: list[bytes] = []
            for name, packed, kind, status in zip(*(reply[n::4] for n in range(4)), strict=True):
                row = self._decode(name, packed, kind, status)
                if row is None:
                    lost.append(name)
                else:
                    found.append(row)
            if not lost:
                self.is_drained = self.is_drained or not found
                return found
            await self._access.change(scripts.LOSE, *lost)

    def _decode(self, name: bytes, packed: bytes, kind: bytes, status: bytes) -> Outgoing | None:
        try:
            row = unpack_row(packed, kind, status)
        except DAMAGE as error:
            self._rows.unreadable.report("event of task", as_text(name), error)
            return None
        return self._rows.outgoing(row)

    async def mark_published(self, published: Sequence[PublishedMessage]) -> None:
        """Remove rows, or keep them for tasks that are ending."""
        if published:
            rows = [
                (
                    row_name(row.task_id, row.version, row.part),
                    row.task_id,
                    row.version,
                    row.is_own,
                    row.id or "",
                    row.keep,
                )
                for row in published
            ]
            await self._access.change(scripts.MARK, _encode(rows))

    async def ending(self) -> list[str]:
        """Return the ids of tasks that are ending, the oldest first."""
        return [as_text(id) for id in await self._access.ask(scripts.ENDING)]

    async def mark_ended(self, task_id: str) -> None:
        """Remove the row that was kept for a task."""
        await self._access.change(scripts.END, task_id)

    async def depth(self) -> int:
        """Count the rows, including those that are kept."""
        return int((await self._access.ask(scripts.TOTALS))[0])
