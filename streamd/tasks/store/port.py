"""The port of the task store: tasks on one side, the transactional outbox of their events on the other."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import attrs

from ...characters import quoted
from ...database import StorageRoom
from ...errors import Gone, InsufficientStorage, NotFound, TaskExists, Unavailable
from ...events import Draft, EventId
from ...idempotency import IdempotencyKey
from ...unreadable import UnreadableRecords
from ..model import Change, Message, Operation, Task
from ..states import Status


@attrs.frozen
class Outgoing:
    """One row of the outbox: an event that is stored with its task and is to be published.

    Args:
        task_id: the task.
        kind: the task's kind.
        version: the task's version that the event reports.
        part: 0 for the event on the task's own topic; the others of the same version count from 1.
        topics: the event's topics, the canonical one first.
        message: the event's type and data.
        final: the version is the task's last one.
        last: the row is the last one of the task.
        is_damaged: the event cannot be decoded; the message has only what else is known.
    """

    task_id: str
    kind: str
    version: int
    part: int
    topics: tuple[str, ...]
    message: Message
    final: bool
    last: bool
    is_damaged: bool = False

    @property
    def is_own(self) -> bool:
        """True for the event on the task's own topic, which carries the version of its stream."""
        return self.part == 0


@attrs.frozen(kw_only=True)
class PublishedMessage:
    """A row of the outbox whose message is published, or was dropped.

    Args:
        task_id, version, part, final: of the row.
        id: its event in the log; None for a message that could not be an event and was dropped.
        keep: leave the row in the outbox until :meth:`TaskStore.mark_ended`.
    """

    task_id: str
    version: int
    part: int = 0
    final: bool = False
    id: EventId | None
    keep: bool = False

    @property
    def is_own(self) -> bool:
        """True for the event on the task's own topic."""
        return self.part == 0


@attrs.frozen(kw_only=True)
class Publishing:
    """The publisher's part in a change that appends its own events to the log.

    Args:
        draft: builds the event of a row; None drops it. Called in the store's thread.
        keeps: returns True for a row that stays in the outbox until the task's kind has acted on its end.
            Called in the store's thread.
        begin: called with the rows on trio's thread after the commit, before the log hands on their events.
        done: called after that, with what was published and the types of the events.
        ended: called on trio's thread by a store that several processes share, when the event of a task's
            last version comes from the log, whichever process has published it: with the task, the version
            and the position, before anybody is handed the event.
        created: called likewise with each task whose first event comes from the log, its kind ('' if
            unknown) and its position.
    """

    draft: Callable[[Outgoing], Draft | None]
    keeps: Callable[[Outgoing], bool]
    begin: Callable[[Sequence[Outgoing]], None]
    done: Callable[[Sequence[PublishedMessage], Sequence[str]], None]
    ended: Callable[[str, int, EventId], None]
    created: Callable[[str, str, EventId], None]


@attrs.frozen(kw_only=True)
class Snapshot:
    """Everything that a stream of a task begins with, from one read of the store.

    Args:
        task: the task.
        text: the whole text it has streamed so far.
        published_version: the newest version whose event on the task's own topic is in the log.
        published_id: the id of that event.
        end: the message of the task's last version, once it has ended.
    """

    task: Task
    text: str
    published_version: int
    published_id: EventId | None
    end: Message | None


@attrs.frozen
class ClaimedTask:
    """A task together with its input, for the worker that has claimed it.

    Args:
        task: the task, running.
        raw_input: its input; JSON, unless it is damaged.
    """

    task: Task
    raw_input: bytes


@attrs.frozen
class ExpiredTask:
    """A task that was deleted.

    Args:
        id: its id.
        kind: its kind.
        status: its status; None if that cannot be decoded.
    """

    id: str
    kind: str
    status: Status | None


@attrs.frozen
class Bounds:
    """Limits for the tasks of one kind that are kept.

    Args:
        keep_seconds: how long an ended task is kept (s).
        max_kept: maximum number of tasks.
    """

    keep_seconds: float
    max_kept: int


class TaskStore(Protocol):
    """A store of tasks. The effects of one call are stored together or not at all.

    The events of a change enter the outbox in the same transaction as the change itself. A task is always
    read without its input, which may be large and never changes. Times that are passed in are steady time
    (:mod:`streamd.clock`), and are compared with the times of tasks less their offsets.

    A record that cannot be decoded is reported to ``unreadable``. Calls for one task then raise
    :class:`~streamd.errors.Unreadable`; all others leave the record out.
    """

    @property
    def unreadable(self) -> UnreadableRecords:
        """The records that were found damaged."""

    @property
    def durability(self) -> str:
        """The guarantee for an acknowledged change, as a sentence for people."""

    @property
    def room(self) -> StorageRoom:
        """The size of what is kept, and its bound: none where the server of the storage has one."""

    @property
    def is_shared(self) -> bool:
        """True if other processes may use the store at the same time."""

    @property
    def shared_tasks(self) -> int:
        """Number of tasks at the last call of :meth:`expire`; 0 in a store that is not shared."""

    @property
    def publishes(self) -> bool:
        """True once changes append their events to the log themselves, and the outbox is empty."""

    def publish_with(self, publishing: Publishing) -> None:
        """Use the publisher's part in changes that append their events; called before the first change."""

    async def create(
        self,
        changes: Sequence[Change],
        *,
        raw_input: bytes = b"null",
        max_unfinished: int,
        max_tasks: int,
        key: IdempotencyKey | None = None,
    ) -> Task | None:
        """Store a new task, unless there is one of its idempotency key.

        Args:
            changes: the task's creation, and any changes that follow it at once.
            raw_input: the task's input, JSON.
            max_unfinished: maximum number of pending and running tasks of this kind; 0 while there is no
                room for a task of any kind (not of a store that is shared).
            max_tasks: maximum number of tasks of all kinds, in a store that is shared.
            key: stored with the task, and deleted with it; None for a task without a key.

        Returns:
            The task that was stored under the key before, in its current state; nothing is changed, and the
            checks of a new task do not apply. None if the task was stored.

        Raises:
            IdempotencyConflict: the task of the key was made from other content.
            TaskExists: the id is taken.
            InsufficientStorage: the store has no room.
            Unavailable: the kind has the maximum number of unfinished tasks.
        """

    async def change(self, task_id: str, operation: Operation) -> Task:
        """Apply an operation to a task, and return the task after it.

        The operation may run in another thread. If it raises, so does this call, and nothing is changed.

        Raises:
            NotFound: there is no such task.
            Gone: the task was deleted.
            InsufficientStorage: the change has a long text or result, and the store has no room.
        """

    async def claim(self, kinds: Collection[str], operation: Operation) -> ClaimedTask | None:
        """Apply an operation to the oldest pending task of these kinds; None if there is none."""

    async def get(self, task_id: str) -> Task:
        """Return a task.

        Raises:
            NotFound: there is no such task.
            Gone: the task was deleted.
        """

    async def input(self, task_id: str) -> bytes:
        """Return a task's input, JSON.

        Raises:
            NotFound, Gone: as for :meth:`get`.
        """

    async def find(
        self,
        *,
        kind: str | None = None,
        status: Status | None = None,
        owner: str | None = None,
        limit: int = 100,
    ) -> list[Task]:
        """Return matching tasks, the newest first."""

    async def snapshot(self, task_id: str) -> Snapshot:
        """Return a task with its text and its position in the log.

        Raises:
            NotFound, Gone: as for :meth:`get`.
        """

    async def result(self, task_id: str) -> bytes | None:
        """Return the result of a task as it was stored; None if it has none.

        Raises:
            NotFound, Gone: as for :meth:`get`.
        """

    async def renew(self, task_ids: Collection[str], until: datetime) -> None:
        """Set the end of the leases of several running tasks, without a new version or an event."""

    async def overdue(self, now: datetime) -> list[Task]:
        """Return unfinished tasks whose lease or deadline has passed."""

    async def held_by(self, prefix: str) -> list[Task]:
        """Return running tasks whose worker's name begins with ``prefix``."""

    async def counts(self) -> Mapping[tuple[str, Status], int]:
        """Count the tasks of each kind and status."""

    # --- the outbox ---------------------------------------------------------------------------

    async def unpublished(self, limit: int) -> list[Outgoing]:
        """Return the oldest rows to be published, those of one task in the order of their creation."""

    async def mark_published(self, published: Sequence[PublishedMessage]) -> None:
        """Remove rows from the outbox, and record the positions of the tasks' own events.

        A row with ``keep`` stays, though :meth:`unpublished` no longer returns it: its task is ending.
        """

    async def ending(self) -> list[str]:
        """Return the ids of tasks whose last row was marked published and kept, the oldest first."""

    async def mark_ended(self, task_id: str) -> None:
        """Remove the row that was kept for a task that is ending."""

    async def outbox_depth(self) -> int:
        """Count the rows of the outbox, including those that are kept."""

    # --- expiry -------------------------------------------------------------------------------

    async def expire(
        self,
        now: datetime,
        bounds: Mapping[str, Bounds],
        default: Bounds,
        *,
        tombstone_seconds: float,
        max_tombstones: int,
    ) -> list[ExpiredTask]:
        """Delete ended tasks that are too old or too many of their kind, the first to end first.

        A task with rows in the outbox is not deleted. An unfinished task that cannot be decoded is deleted
        when its deadline is older than ended tasks may be.

        Args:
            now: steady time.
            bounds: limits by kind.
            default: limits of all other kinds.
            tombstone_seconds: how long a deleted task's id is remembered (s).
            max_tombstones: maximum number of ids remembered.

        Returns:
            The deleted tasks.
        """


# --- shared by all implementations --------------------------------------------------------------


def outgoing_rows(change: Change) -> Iterator[Outgoing]:
    """Iterate over the outbox rows of a change, in publishing order."""
    task, part = change.task, 0
    final = task.status.ended
    for index, publication in enumerate(change.publications, 1):
        is_own = publication.topics[0] == task.topic
        if not is_own:
            part += 1
        yield Outgoing(
            task.id,
            task.kind,
            task.version,
            0 if is_own else part,
            publication.topics,
            publication.message,
            final,
            final and index == len(change.publications),
        )


def is_overdue(task: Task, now: datetime) -> bool:
    """Return True if an unfinished task has lost its worker or passed its deadline at a steady time."""
    if task.status.ended:
        return False
    now = task.at(now)
    return task.deadline <= now or (task.lease_until is not None and task.lease_until <= now)


def missing(task_id: str, *, was_there: bool) -> NotFound | Gone:
    """Build the error for an id without a task."""
    if was_there:
        return Gone(f"task {quoted(task_id)} is not kept any more", field="id")
    return NotFound(f"there is no task {quoted(task_id)}", field="id")


def taken(task_id: str) -> TaskExists:
    """Build the error for a new task whose id is in use, or was lately: its followers would be misled."""
    return TaskExists(f"there is or was a task {quoted(task_id)}", field="id")


def too_many(kind: str, maximum: int) -> Unavailable:
    """Build the error for a new task of a kind that has the maximum number of unfinished tasks.

    A maximum of 0 stands for the tasks of all kinds.
    """
    if not maximum:
        return InsufficientStorage(
            "the maximum number of tasks of all kinds is stored; there is no room for more",
            retry_after_seconds=5,
        )
    return Unavailable(
        f"{maximum} tasks of kind {quoted(kind)} wait or run already; there is no room for more",
        retry_after_seconds=5,
    )
