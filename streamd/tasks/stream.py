"""The stream of one task: a snapshot of its current state, each later change, and its end."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Self

import attrs

from ..errors import InvalidField
from ..events import Control, ControlName, CursorMove, Event, EventId, Frame, UnloggedEvent
from ..events.data import encode_data
from ..hub import DeliveryRecord, SendQueue, Subscription, Wire
from ..json import MESSAGE_ENVELOPE
from .messages import reduce_data
from .model import Message, topic_of
from .tasks import Tasks, TaskView

_WAKE: Final = CursorMove(EventId(""))
"""Put into a send queue to wake its source; never sent."""


class TaskSource:
    """The frames of one connection that follows a task: each version once, up to the last one.

    Theory of operation: the source stands between a subscription to the task's topic and the connection that
    writes. It adds a snapshot where the log alone cannot tell the client everything, and it recognizes the
    task's last version, after which the stream ends. Inside its ``with`` block it watches for that version::

        OPENING ───────── snapshot of an ended task ─────────┐
           │ snapshot sent, or none needed                   │
           ▼                                                 │
        FOLLOWING ─┐                                         │
           │  ▲    │ gap: snapshot of an unfinished task     │
           │  └────┘                                         │
           ├──────── gap: snapshot of an ended task ─────────┤
           │ last version is in the log                      │
           ▼                                                 ▼
        ENDING ─── last version sent, or cursor past it ──▶ OVER
           └──────── gap: snapshot of an ended task ─────────▲

    In ENDING, a gap with the snapshot of an unfinished task leads back to FOLLOWING: the last version was
    lost. The snapshot of an ended task is sent together with the task's last message, or left out by its
    kind.

    Coupling rules:

    1. The fan-out writes by itself only in FOLLOWING. At the start of ENDING the subscription takes the wire
       back, so that every frame passes :meth:`receive`, which looks for the last version.
    2. A subscription with a gap is not live, so nothing else writes while the source reads a new snapshot.
       Frames at or before the snapshot's position are dropped.
    3. Between receiving frames and returning them there is no checkpoint, except for a gap: the fan-out may
       write the next frames as soon as there is one.

    Args:
        tasks: the tasks.
        task_id: the task.
        subscription: the subscription to the task's topic.
        queue: the subscription's send queue.
        view: the task's current state, to begin with; None for a client that resumes.
        end: the position of the task's last version, if it has ended.
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
        self._end = end  # known: ENDING
        self._over = False
        self._wire: Wire | None = None  # handed to the fan-out after the opening
        self._sent: DeliveryRecord | None = None
        self._opening = self._frames_of(view) if view is not None else []

    def __enter__(self) -> Self:
        self._tasks.outbox.positions.watch(self._task_id, self._begin_ending)
        return self

    def __exit__(self, *_: object) -> None:
        self._tasks.outbox.positions.unwatch(self._task_id, self._begin_ending)

    async def receive(self) -> Sequence[Frame]:
        """Wait for the next frames; an empty result means that the stream is over.

        Raises:
            NotFound, Gone, Unavailable: the task could not be read to replace a gap.
        """
        if self._opening:
            return self.begin()
        if self._wire is not None and not self._is_ending():
            self._subscription.write_through(self._wire, self._sent)
        self._wire = None
        while not self._over:
            frames = await self._subscription.receive()
            if not frames:
                break
            kept = await self.follow(frames)
            if kept:
                return kept
        return []

    # --- a poll, which receives from the subscription itself -------------------------------------

    @property
    def is_over(self) -> bool:
        """True once the last version was returned, or was before the client's cursor."""
        return self._over

    def begin(self) -> Sequence[Frame]:
        """Return the snapshot of the current state, once; nothing for a client that resumes."""
        opening, self._opening = self._opening, []
        return opening

    async def follow(self, frames: Sequence[Frame]) -> list[Frame]:
        """Return received frames with a snapshot in place of a gap. Cancelled, they are lost.

        Raises:
            NotFound, Gone, Unavailable: the task could not be read to replace a gap.
        """
        kept = await self._resync(frames)
        self._look_for_end(kept)
        return kept

    def write_through(self, wire: Wire | None, sent: DeliveryRecord | None = None) -> None:
        """Let the fan-out write to a wire by itself, from the end of the opening on; None stops it."""
        if wire is None:
            self._wire = None
            self._subscription.write_through(None)
        else:
            self._wire, self._sent = wire, sent

    def _begin_ending(self) -> None:
        """Take the wire back, and wake :meth:`receive`: the last version is in the log."""
        self._subscription.write_through(None)
        self._queue.put_nowait(_WAKE)

    def _is_ending(self) -> bool:
        return self._end is not None or self._tasks.outbox.positions.final_version(self._task_id) is not None

    async def _resync(self, frames: Sequence[Frame]) -> list[Frame]:
        """Replace a gap by a new snapshot, and drop the frames that the snapshot covers."""
        kept: list[Frame] = []
        position: EventId | None = None
        for frame in frames:
            if isinstance(frame, Control) and frame.name == ControlName.GAP:
                view = await self._tasks.view(self._task_id)
                position = view.position
                self._subscription.cursor = max(self._subscription.cursor, position)
                if view.end is None:
                    self._end = None  # the end that was known is lost
                kept += self._frames_of(view)
            elif frame is not _WAKE and not (
                position is not None and isinstance(frame, Event) and frame.id <= position
            ):
                kept.append(frame)
        return kept

    def _look_for_end(self, frames: Sequence[Frame]) -> None:
        """End the stream if the last version is among these frames, or was written before them."""
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
        frames: list[Frame] = []
        if view.message is not None:
            # A client that is cut off before the end must not come back with the end's position.
            position = view.position if view.end is None else ""
            frames.append(_build(view.message, partial(_snapshot_frame, position)))
        if view.end is not None:
            self._over = True
            frames.append(_build(view.end, partial(_end_frame, view.position, self._task_id)))
        return frames


def _snapshot_frame(position: str, message: Message) -> UnloggedEvent:
    return UnloggedEvent(message.data, message.type, id=position, envelope=MESSAGE_ENVELOPE)


def _end_frame(position: EventId, task_id: str, message: Message) -> Event:
    text, is_json = encode_data(message.data, envelope=MESSAGE_ENVELOPE)
    return Event(position, (topic_of(task_id),), message.type, text, is_json, None)


def _build(message: Message, build: Callable[[Message], Frame]) -> Frame:
    """Build the frame of a message; reduce it if an earlier streamd stored more levels than are sent."""
    try:
        return build(message)
    except InvalidField:
        return build(attrs.evolve(message, data=reduce_data(message.data)))


@attrs.frozen
class Opening:
    """The beginning of a client's stream of a task.

    Args:
        after: the cursor of its subscription.
        view: the state to send first; None for a client that resumes.
        end: the position of the task's last version, if it has ended.
        over: the client has received the last version, so there is nothing to stream.
    """

    after: EventId
    view: TaskView | None
    end: EventId | None
    over: bool


async def open_task(tasks: Tasks, task_id: str, cursor: EventId | None, head: EventId) -> Opening:
    """Look up the beginning of a client's stream.

    Args:
        tasks: the tasks.
        task_id: the task.
        cursor: the client's cursor; None for a client without one.
        head: the head of the log.

    Raises:
        Unavailable: the task's stored events could not be published in time.
        NotFound, Gone: as for :meth:`.tasks.Tasks.get`.
    """
    view = await tasks.view(task_id)
    end = None
    if view.end is not None:
        end = view.published_id if view.published_id <= head else view.position
    over = cursor is not None and end is not None and (cursor == view.published_id or end <= cursor <= head)
    if cursor is None:
        return Opening(view.position, view, end, over)
    return Opening(cursor, None, end, over)
