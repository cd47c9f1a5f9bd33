"""The stream of one task: a snapshot of its current state, each later change, and its end."""

from collections.abc import Sequence
from typing import Any, Final, Self

import attrs
import msgspec

from ..errors import InvalidBody
from ..events import Control, ControlName, CursorMove, Event, EventId, Frame, UnloggedEvent
from ..events.data import encode_data
from ..hub import DeliveryRecord, SendQueue, Subscription, Wire
from ..json import MESSAGE_ENVELOPE, EncodedJson, encode_json, inspect_json, inspection_steps, is_large
from ..turns import request_turns
from .messages import reduce_data
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
        opening: the frames of the task's current state, to begin with; none for a client that resumes.
        end: the position of the task's last version, if it has ended.
    """

    def __init__(
        self,
        tasks: Tasks,
        task_id: str,
        subscription: Subscription,
        queue: SendQueue,
        opening: Sequence[Frame],
        end: EventId | None,
    ) -> None:
        self._tasks = tasks
        self._task_id = task_id
        self._subscription = subscription
        self._queue = queue
        self._end = end  # known: ENDING
        self._over = bool(opening) and end is not None
        self._wire: Wire | None = None  # handed to the fan-out after the opening
        self._sent: DeliveryRecord | None = None
        self._opening = opening

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
        opening, self._opening = self._opening, ()
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
                kept += await _frames_of(view)
                self._over = self._over or view.end is not None
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


async def _frames_of(view: TaskView) -> list[Frame]:
    """Build the frames of a task's current state; large ones are checked in worker threads, by turns."""
    frames: list[Frame] = []
    if view.message is not None:
        # A client that is cut off before the end must not come back with the end's position.
        position = view.position if view.end is None else ""
        data = await _encode(view.message.data)
        frames.append(UnloggedEvent(data, view.message.type, id=position))
    if view.end is not None:
        text, encoding = encode_data(await _encode(view.end.data))
        frames.append(Event(view.position, (view.task.topic,), view.end.type, text, encoding, None))
    return frames


async def _encode(data: dict[str, Any]) -> EncodedJson:
    """Encode a message's data; reduce it if an earlier streamd stored more levels than are sent."""
    try:
        text = msgspec.json.encode(data)
        if is_large(text):
            await request_turns().run(inspection_steps(text, noun="data", envelope=MESSAGE_ENVELOPE))
        else:
            inspect_json(text, noun="data", envelope=MESSAGE_ENVELOPE)
    except (InvalidBody, TypeError, ValueError, RecursionError):
        text = encode_json(reduce_data(data), "data", envelope=MESSAGE_ENVELOPE)
    return EncodedJson(text)


@attrs.frozen
class Opening:
    """The beginning of a client's stream of a task.

    Args:
        after: the cursor of its subscription.
        frames: of the state to send first; none for a client that resumes.
        end: the position of the task's last version, if it has ended.
        over: the client has received the last version, so there is nothing to stream.
    """

    after: EventId
    frames: Sequence[Frame]
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
        return Opening(view.position, await _frames_of(view), end, over)
    return Opening(cursor, (), end, over)
