"""The positions of tasks' events in the log, as far as the publisher remembers them."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import trio

from ..events import EventId
from .store.port import Outgoing, PublishedMessage, TaskStore

_REMEMBERED_MAX: Final = (
    10_000  # positions and final versions (count), far more than are published in a second
)

K = TypeVar("K")
V = TypeVar("V")


class TaskPositions:
    """Positions of recently published versions, and callbacks for the last one of a task.

    A stream of a task needs the position of the snapshot it begins with, and of the task's last version,
    after which it ends. Older positions are in the store.

    Args:
        store: the store, for versions that are not remembered.
    """

    def __init__(self, store: TaskStore) -> None:
        self._store = store
        self._changed = trio.Event()  # replaced whenever positions were added
        self._positions: OrderedDict[tuple[str, int], EventId] = OrderedDict()
        self._finals: OrderedDict[str, int] = OrderedDict()
        self._watching: dict[str, dict[Callable[[], None], None]] = {}

    def forget(self, task_id: str) -> None:
        """Drop what is remembered of an id, because a new task has been given it."""
        if self._finals.pop(task_id, None) is not None:
            for key in [key for key in self._positions if key[0] == task_id]:
                del self._positions[key]

    def forget_until(self, position: EventId) -> None:
        """Drop the positions up to one: events up to there were dropped, or lost with their tasks."""
        for key in [key for key, known in self._positions.items() if known <= position]:
            del self._positions[key]
            if self._finals.get(key[0]) == key[1]:
                del self._finals[key[0]]

    def final_version(self, task_id: str) -> int | None:
        """Return the last version of a task that is being published or was lately; None for other tasks."""
        return self._finals.get(task_id)

    def final_position(self, task_id: str) -> EventId | None:
        """Return the position of the last version of a task that was published lately; None for others."""
        version = self._finals.get(task_id)
        return None if version is None else self._positions.get((task_id, version))

    def watch(self, task_id: str, callback: Callable[[], None]) -> None:
        """Call ``callback`` when the task's last version is in the log. It must not block."""
        self._watching.setdefault(task_id, {})[callback] = None

    def unwatch(self, task_id: str, callback: Callable[[], None]) -> None:
        """Stop calling ``callback`` for this task."""
        watching = self._watching[task_id]
        del watching[callback]
        if not watching:
            del self._watching[task_id]

    async def position_of(self, task_id: str, version: int) -> EventId | None:
        """Wait until a version of a task is published, and return its position; None if it is not known.

        Raises:
            NotFound, Gone, Unavailable: from the store.
        """
        asked = False
        while (task_id, version) not in self._positions:
            changed = self._changed
            if not asked:
                asked = True
                snapshot = await self._store.snapshot(task_id)
                if snapshot.published_version == version:
                    return snapshot.published_id
                if snapshot.published_version > version:
                    return self._positions.get((task_id, version))
            await changed.wait()
        return self._positions[task_id, version]

    # --- for the publisher --------------------------------------------------------------------

    def announce(self, rows: Sequence[Outgoing]) -> None:
        """Remember final versions before they are published, so that a stream knows its task is ending."""
        for row in rows:
            if row.final:
                _remember(self._finals, row.task_id, row.version)

    def add(self, row: PublishedMessage, position: EventId) -> None:
        """Remember the position of a task's own event, and call the watchers after the last version."""
        if row.final:
            self.add_final(row.task_id, row.version, position)
        else:
            _remember(self._positions, (row.task_id, row.version), position)

    def add_final(self, task_id: str, version: int, position: EventId) -> None:
        """Remember the last version of a task and its position, and call the watchers."""
        _remember(self._finals, task_id, version)
        _remember(self._positions, (task_id, version), position)
        for callback in self._watching.get(task_id, {}):
            callback()

    def wake(self) -> None:
        """Wake every :meth:`position_of`, to look at the positions that were added."""
        self._changed.set()
        self._changed = trio.Event()


def _remember(memory: OrderedDict[K, V], key: K, value: V) -> None:
    memory[key] = value
    if len(memory) > _REMEMBERED_MAX:
        memory.popitem(last=False)
