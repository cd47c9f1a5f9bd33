"""The readers that wait at the head of a log, and the events that need not wake them.

Most events of a server that keeps the progress of many jobs have no subscriber at the moment. Waking the
fan-out for one of them would cost more than the append. So a waiting reader is asked about new events in the
step of their append; where it *skips* them, it goes on waiting, behind them.
"""

from collections.abc import Sequence

import attrs
import trio

from ..events import Event, EventId
from .port import Skip


@attrs.define(eq=False)
class _Waiting:
    """A reader that waits for an event after its cursor, which is the head of the log."""

    task: trio.lowlevel.Task
    skip: Skip
    cursor: EventId


class TailReaders:
    """The readers that have read everything, and wait for more."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []

    async def wait(self, head: EventId, skip: Skip) -> EventId:
        """Wait for events that are not skipped, and return the position before them.

        Args:
            head: of the log, which the reader has read up to.
            skip: see :meth:`.port.Log.tail`.
        """
        reader = _Waiting(trio.lowlevel.current_task(), skip, head)
        self._waiting.append(reader)

        def stop_waiting(_: object) -> trio.lowlevel.Abort:
            self._waiting.remove(reader)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(stop_waiting)
        return reader.cursor

    def announce(self, events: Sequence[Event]) -> bool:
        """Wake the readers that do not skip the events that were just appended, at least one.

        Returns:
            True if there are readers, and all of them have skipped the events.
        """
        cursor = events[-1].id
        woken: list[_Waiting] = []
        for reader in self._waiting:
            if reader.skip(events):
                reader.cursor = cursor
            else:
                trio.lowlevel.reschedule(reader.task)
                woken.append(reader)
        for reader in woken:
            self._waiting.remove(reader)
        return not woken and bool(self._waiting)
