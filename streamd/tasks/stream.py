"""The stream of one task: its present state, then what comes after it, then its end."""

from collections.abc import Sequence

import attrs

from ..events import Control, ControlName, Event, EventId, Frame, UnloggedEvent
from ..events.event import encode_data
from ..hub import Sent, Subscription, Wire
from .model import topic_of
from .service import Tasks, View


class TaskSource:
    """Feeds one connection with a task's messages, each version once.

    A stream that begins without a cursor, or whose cursor lies before what the log keeps, gets a snapshot
    with all versions up to its own; the log goes on behind it. After the task's last message there is
    nothing more, and the stream ends.

    Args:
        tasks: where the task is.
        task_id: of the task.
        subscription: to its topic.
        view: its present state, to begin with; None for a client that resumes.
        end: the place of its last message, if it has ended.
    """

    def __init__(
        self,
        tasks: Tasks,
        task_id: str,
        subscription: Subscription,
        view: View | None,
        end: EventId | None,
    ) -> None:
        self._tasks = tasks
        self._task_id = task_id
        self._subscription = subscription
        self._end = end
        self._over = False
        self._opening = self._frames_of(view) if view is not None else []

    async def receive(self) -> Sequence[Frame]:
        """The next frames; empty when the task's last message was among the ones before."""
        if self._opening:
            opening, self._opening = self._opening, []
            return opening
        while not self._over:
            frames = await self._subscription.receive()
            if not frames:
                break
            kept = await self._mend(frames)
            await self._look_for_end(kept)
            if kept:
                return kept
        return []

    def write_through(self, wire: Wire | None, sent: Sent | None = None) -> None:
        """Everything goes through :meth:`receive`, which looks at what is sent."""

    async def _mend(self, frames: Sequence[Frame]) -> list[Frame]:
        """The frames, with a snapshot in the place of a gap."""
        kept: list[Frame] = []
        place: EventId | None = None
        for frame in frames:
            if isinstance(frame, Control) and frame.name == ControlName.GAP:
                view = await self._tasks.view(self._task_id)
                place = view.place
                self._subscription.cursor = max(self._subscription.cursor, place)
                kept += self._frames_of(view)
            elif not (place is not None and isinstance(frame, Event) and frame.id <= place):
                kept.append(frame)
        return kept

    async def _look_for_end(self, frames: Sequence[Frame]) -> None:
        if self._end is None:
            version = self._tasks.outbox.end_of(self._task_id)
            if version is None:
                return
            self._end = await self._tasks.outbox.place_of(self._task_id, version)
        if self._end is not None:
            end = self._end
            self._over = self._over or any(isinstance(frame, Event) and frame.id >= end for frame in frames)

    def _frames_of(self, view: View) -> list[Frame]:
        frames: list[Frame] = [UnloggedEvent(view.message.data, view.message.type, id=view.place)]
        if view.end is not None:
            self._over = True
            text, is_json = encode_data(view.end.data)
            topics = (topic_of(self._task_id),)
            frames.append(Event(view.place, topics, view.end.type, text, is_json, None))
        return frames


@attrs.frozen
class Opening:
    """How a client's stream of a task begins."""

    after: EventId  # the cursor of its subscription
    view: View | None  # what it is shown first; None when it goes on where it was
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
        end = view.published_id if view.published_id <= head else view.place
    over = cursor is not None and end is not None and (cursor == view.published_id or end <= cursor <= head)
    if cursor is None:
        return Opening(view.place, view, end, over)
    return Opening(cursor, None, end, over)
