"""The deletion of expired tasks in Redis, in small steps."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from ....log.redis.access import RedisAccess
from ....unreadable import as_text
from ..port import Bounds, ExpiredTask
from ..rows import TaskRows, to_ms
from . import scripts
from .writes import number_of, task_row

_DUE: Final = 64  # tasks that one script returns
_DELETED: Final = 100  # by one script, some milliseconds
_FORGOTTEN: Final = 1000  # ids of deleted tasks


async def count_tasks(access: RedisAccess) -> int:
    """Return the number of stored tasks of all nodes."""
    _, *totals = await access.ask(scripts.TOTALS)
    return sum(map(int, totals[1::2]))


async def expire_tasks(
    access: RedisAccess,
    rows: TaskRows,
    now: datetime,
    bounds: Callable[[str], Bounds],
    *,
    tombstone_seconds: float,
    max_tombstones: int,
) -> list[ExpiredTask]:
    """Delete expired tasks; see :meth:`.port.TaskStore.expire`.

    Args:
        access: runs the scripts.
        rows: decodes what is deleted.
        now: steady time.
        bounds: returns the limits of a kind.
        tombstone_seconds: how long a deleted task's id is remembered (s).
        max_tombstones: maximum number of ids remembered.
    """
    at = to_ms(now)
    _, *totals = await access.ask(scripts.TOTALS)
    kinds = {as_text(field.partition(b"\0")[0]) for field in totals[::2]}
    limits = {kind: to_ms(now - timedelta(seconds=bounds(kind).keep_seconds)) for kind in kinds}
    expired: list[ExpiredTask] = []
    for kind in sorted(kinds):
        more = True
        while more:
            _, *deleted = await access.change(
                scripts.EXPIRE, kind, limits[kind], bounds(kind).max_kept, at, _DELETED
            )
            more = len(deleted) == 2 * _DELETED
            for id, status in zip(deleted[::2], deleted[1::2], strict=True):
                expired.append(rows.expired((0, id, kind, status)))
    expired += await _discard_unreadable(access, rows, limits, at)
    forgotten = _FORGOTTEN
    while forgotten == _FORGOTTEN:
        _, forgotten = await access.change(
            scripts.FORGET, to_ms(now - timedelta(seconds=tombstone_seconds)), max_tombstones, _FORGOTTEN
        )
    return expired


async def _discard_unreadable(
    access: RedisAccess, rows: TaskRows, limits: dict[str, int], at: int
) -> list[ExpiredTask]:
    """Delete the unfinished tasks that could not be failed at their deadline, as they cannot be decoded."""
    damaged: list[Any] = []
    for row, revision, kind, deadline in await overdue_rows(access, max(limits.values(), default=0)):
        limit = limits.get(as_text(kind), 0)
        if number_of(deadline) <= limit and not rows.is_readable(row):
            damaged += [row[1], revision or b""]
    expired: list[ExpiredTask] = []
    for first in range(0, len(damaged), 2 * _DELETED):
        _, *deleted = await access.change(scripts.DISCARD, at, *damaged[first : first + 2 * _DELETED])
        for id, kind, status in zip(*(deleted[n::3] for n in range(3)), strict=True):
            expired.append(rows.expired((0, id, kind, status)))
    return expired


async def overdue_rows(access: RedisAccess, until_ms: int) -> list[tuple[Sequence[Any], bytes, bytes, bytes]]:
    """Return the unfinished tasks whose lease or deadline has passed: row, revision, kind and deadline (ms).

    Args:
        access: runs the scripts.
        until_ms: steady time (ms).
    """
    rows: list[tuple[Sequence[Any], bytes, bytes, bytes]] = []
    while found := await access.ask(scripts.DUE, until_ms, len(rows), _DUE):
        for index in range(0, len(found), 7):
            revision, kind, deadline = found[index + 4 : index + 7]
            rows.append((task_row(*found[index : index + 4]), revision, kind, deadline))
    return rows
