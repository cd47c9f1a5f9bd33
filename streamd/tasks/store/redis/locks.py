"""Locks by the ids of tasks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class TaskLocks:
    """Lets the changes of one task wait for each other, in the order of the calls."""

    def __init__(self) -> None:
        self._locks: dict[str, trio.Lock] = {}

    @asynccontextmanager
    async def hold(self, task_id: str) -> AsyncIterator[None]:
        """Hold the lock of a task for as long as the block lasts."""
        lock = self._locks.setdefault(task_id, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked() and self._locks.get(task_id) is lock:
                del self._locks[task_id]
