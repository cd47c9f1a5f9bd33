"""The port of the store: tasks on one side, the outbox of what is still to be published on the other."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import attrs

from ...errors import Gone, NotFound, TaskExists, Unavailable
from ...events import EventId
from ..model import Change, Message, Status, Task
from ..operations import Operation


@attrs.frozen
class Outgoing:
    """A message that is stored with its task, and is to be published."""

    task_id: str
    version: int
    message: Message
    last: bool  # nothing comes after it


@attrs.frozen
class Published:
    """A message of the outbox that the log has taken."""

    task_id: str
    version: int
    id: EventId
    last: bool


@attrs.frozen(kw_only=True)
class Snapshot:
    """A task with all that a stream of it begins with, from one look at the store."""

    task: Task
    text: str  # all of it so far
    published_version: int  # how far the outbox has got
    published_id: EventId | None  # the event of that version
    end: Message | None  # of a task that has ended: its last message


@attrs.frozen
class Bounds:
    """How long the tasks of a kind are kept after their end, and how many."""

    keep_seconds: float
    max_kept: int


class TaskStore(Protocol):
    """Where tasks are kept. What one call changes is stored as a whole, or not at all.

    The messages of a task enter its outbox in the same transaction as the change they tell of.
    """

    @property
    def durability(self) -> str:
        """What a task that was acknowledged survives, as a sentence for people."""

    async def create(self, changes: Sequence[Change], *, max_unfinished: int) -> None:
        """Keep a new task.

        Args:
            changes: the first is its making; others may follow at once.
            max_unfinished: tasks of this kind that may wait or run at once.

        Raises:
            TaskExists: its id is taken.
            Unavailable: too many tasks of this kind wait or run.
        """

    async def change(self, task_id: str, operation: Operation) -> Task:
        """Do something with a task; the task as it is afterwards. Its input may be left out (null).

        ``operation`` may run in another thread. What it raises is raised here, and nothing is changed.

        Raises:
            NotFound, Gone: there is no such task, or not any more.
        """

    async def claim(self, kinds: Collection[str], operation: Operation) -> Task | None:
        """Do something with the oldest pending task of these kinds; None when there is none."""

    async def get(self, task_id: str) -> Task:
        """A task.

        Raises:
            NotFound, Gone: there is no such task, or not any more.
        """

    async def find(
        self,
        *,
        kind: str | None = None,
        status: Status | None = None,
        owner: str | None = None,
        limit: int = 100,
    ) -> list[Task]:
        """Tasks, the newest first; their input is left out (null)."""

    async def snapshot(self, task_id: str) -> Snapshot:
        """A task with its text and its place in the log.

        Raises:
            NotFound, Gone: there is no such task, or not any more.
        """

    async def result(self, task_id: str) -> bytes | None:
        """The result of a task as its change brought it; None when it has none."""

    async def renew(self, task_ids: Collection[str], until: datetime) -> None:
        """Let the workers of running tasks hold them for longer; no new version, and no message."""

    async def overdue(self, now: datetime) -> list[Task]:
        """Tasks that have not ended, whose lease or whose deadline is over."""

    async def held_by(self, prefix: str) -> list[Task]:
        """Running tasks whose worker's name begins with ``prefix``."""

    async def counts(self) -> Mapping[tuple[str, Status], int]:
        """How many tasks there are of each kind and status."""

    # --- the outbox ---------------------------------------------------------------------------

    async def unpublished(self, limit: int) -> list[Outgoing]:
        """The oldest messages that are still to be published, those of one task in order."""

    async def mark_published(self, published: Sequence[Published]) -> None:
        """Take note that the log has these; the last message of a task stays with it."""

    async def outbox_depth(self) -> int:
        """How many messages are still to be published."""

    # --- expiry -------------------------------------------------------------------------------

    async def expire(
        self,
        now: datetime,
        bounds: Mapping[str, Bounds],
        default: Bounds,
        *,
        gone_seconds: float,
        max_gone: int,
    ) -> list[Task]:
        """Forget tasks that ended too long ago or are too many of their kind, the first to end first.

        Args:
            bounds: by kind.
            default: for all other kinds.
            gone_seconds: for how long it is remembered that they were there (s).
            max_gone: of how many that is remembered.

        Returns:
            What was forgotten.
        """


# --- what all implementations say alike ---------------------------------------------------------


def is_overdue(task: Task, now: datetime) -> bool:
    """Whether a task that has not ended should: its worker is gone, or its time is over."""
    if task.status.ended:
        return False
    return task.deadline <= now or (task.lease_until is not None and task.lease_until <= now)


def missing(task_id: str, *, was_there: bool) -> NotFound | Gone:
    """Why there is no task of that id."""
    if was_there:
        return Gone(f"task {task_id[:128]!r} is not kept any more", field="id")
    return NotFound(f"there is no task {task_id[:128]!r}", field="id")


def taken(task_id: str) -> TaskExists:
    """Why an id cannot be chosen; one that was there lately cannot, or who follows it would be misled."""
    return TaskExists(f"there is or was a task {task_id!r}", field="id")


def too_many(kind: str, most: int) -> Unavailable:
    """Why no further task of a kind is taken."""
    return Unavailable(
        f"{most} tasks of kind {kind!r} wait or run already; there is no room for more",
        retry_after_seconds=5,
    )
