"""The stream of one task: its present state, then what comes after it, then its end."""

from collections.abc import Sequence
from typing import Final, Self

import attrs

from ..events import Control, ControlName, CursorMove, Event, EventId, Frame, UnloggedEvent
from ..events.event import encode_data
from ..hub import DeliveryRecord, SendQueue, Subscription, Wire
from .model import topic_of
from .tasks import Tasks, TaskView

_WAKE: Final = CursorMove(EventId(""))
"""Put into a send queue to have its source look up; never sent."""


class TaskSource:
    """Feeds one connection with a task's messages, each version once, while the block ``with`` it lasts.

    A stream that begins without a cursor, or whose cursor lies before what the log keeps, gets a snapshot
    with all versions up to its own; the log goes on behind it, and the fan-out writes what comes straight to
    the wire. After the task's last message there is nothing more, and the stream ends.

    Args:
        tasks: where the task is.
        task_id: of the task.
        subscription: to its topic.
        queue: of that subscription.
        view: its present state, to begin with; None for a client that resumes.
        end: the place of its last message, if it has ended.
    """

    def __init__(
        self,
        tasks: Tasks,
        task_id: str,
        subscription: Subscription,
        queue: SendQueue,
        view: TaskView | None,
        end: EventId | None,
    ) -> None:
        self._tasks = tasks
        self._task_id = task_id
        self._subscription = subscription
        self._queue = queue
        self._end = end
        self._over = False
        self._wire: Wire | None = None  # until the opening is written
        self._sent: DeliveryRecord | None = None
        self._opening = self._frames_of(view) if view is not None else []

    def __enter__(self) -> Self:
        self._tasks.outbox.positions.watch(self._task_id, self._wake)
        return self

    def __exit__(self, *_: object) -> None:
        self._tasks.outbox.positions.unwatch(self._task_id, self._wake)

    async def receive(self) -> Sequence[Frame]:
        """The next frames; empty when the task's last message was among what went out before."""
        if self._opening:
            opening, self._opening = self._opening, []
            return opening
        if self._wire is not None and not self._is_ending():
            self._subscription.write_through(self._wire, self._sent)
        self._wire = None
        while not self._over:
            frames = await self._subscription.receive()
            if not frames:
                break
            # No checkpoint from here to the writing, but for a gap: the fan-out may write what comes next.
            kept = await self._mend(frames)
            self._look_for_end(kept)
            if kept:
                return kept
        return []

    def write_through(self, wire: Wire | None, sent: DeliveryRecord | None = None) -> None:
        """Let the fan-out write by itself, once what the stream begins with is written; None: no more."""
        if wire is None:
            self._wire = None
            self._subscription.write_through(None)
        else:
            self._wire, self._sent = wire, sent

    def _wake(self) -> None:
        """The task's last message is in the log: from here on, look at what is sent."""
        self._subscription.write_through(None)
        self._queue.put_nowait(_WAKE)

    def _is_ending(self) -> bool:
        return self._end is not None or self._tasks.outbox.positions.final_version(self._task_id) is not None

    async def _mend(self, frames: Sequence[Frame]) -> list[Frame]:
        """The frames, with a snapshot in the place of a gap; a subscription with a gap is not live."""
        kept: list[Frame] = []
        place: EventId | None = None
        for frame in frames:
            if isinstance(frame, Control) and frame.name == ControlName.GAP:
                view = await self._tasks.view(self._task_id)
                place = view.position
                self._subscription.cursor = max(self._subscription.cursor, place)
                kept += self._frames_of(view)
            elif frame is not _WAKE and not (
                place is not None and isinstance(frame, Event) and frame.id <= place
            ):
                kept.append(frame)
        return kept

    def _look_for_end(self, frames: Sequence[Frame]) -> None:
        """Whether the last message is among these, or was written before them."""
        if self._end is None:
            self._end = self._tasks.outbox.positions.final_position(self._task_id)
        if self._end is None:
            return
        end, level = self._end, self._subscription.level_cursor()
        if (level is not None and level >= end) or any(
            isinstance(frame, Event) and frame.id >= end for frame in frames
        ):
            self._over = True

    def _frames_of(self, view: TaskView) -> list[Frame]:
        frames: list[Frame] = [UnloggedEvent(view.message.data, view.message.type, id=view.position)]
        if view.end is not None:
            self._over = True
            text, is_json = encode_data(view.end.data)
            topics = (topic_of(self._task_id),)
            frames.append(Event(view.position, topics, view.end.type, text, is_json, None))
        return frames


@attrs.frozen
class Opening:
    """How a client's stream of a task begins."""

    after: EventId  # the cursor of its subscription
    view: TaskView | None  # what it is shown first; None when it goes on where it was
    end: EventId | None  # the place of the task's last message, if it has ended
    over: bool  # the client has that already: there is nothing to stream


async def open_task(tasks: Tasks, task_id: str, cursor: EventId | None, head: EventId) -> Opening:
    """Look up how a stream begins.

    Args:
        cursor: the last event id that the client has; None for a client that comes new.
        head: of the log.

    Raises:
        Unavailable, NotFound, Gone: as :meth:`.service.Tasks.view`.
    """
    view = await tasks.view(task_id)
    end = None
    if view.end is not None:
        end = view.published_id if view.published_id <= head else view.position
    over = cursor is not None and end is not None and (cursor == view.published_id or end <= cursor <= head)
    if cursor is None:
        return Opening(view.position, view, end, over)
    return Opening(cursor, None, end, over)
