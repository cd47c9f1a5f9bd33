"""Every change of a task passes here: checked, stored, counted, and left to the outbox to be published."""

import secrets
import time
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import attrs
import msgspec
import structlog
import trio

from ..errors import InvalidField, LeaseLost
from ..events import EventSettings
from ..hub import Hub
from . import operations
from .checks import check_kind, check_lease_seconds, check_size, encode_json
from .kinds import Kind
from .messages import standard
from .metrics import TaskMetrics
from .model import Change, Message, Status, Task
from .operations import Operation
from .publisher import OutboxPublisher
from .settings import TaskSettings
from .store.port import Bounds, TaskStore

LOCAL: Final = "local:"
"""How the names of workers in this process begin; nobody else's may."""

_log = structlog.get_logger(__name__)


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


class TaskEngine:
    """The tasks of one server, as those see them who work on them.

    Args:
        store: where they are kept.
        hub: where their messages are published.
        settings: bounds and intervals.
        limits: bounds of an event.
        metrics: where it counts.
        now: the wall clock.
    """

    def __init__(
        self,
        store: TaskStore,
        hub: Hub,
        settings: TaskSettings,
        limits: EventSettings,
        metrics: TaskMetrics,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.store: Final = store
        self.settings: Final = settings
        self.metrics: Final = metrics
        self.now: Final = now
        self.outbox: Final = OutboxPublisher(store, hub, limits, metrics)
        self.kinds: Final[dict[str, Kind]] = {}
        self.on_end: Callable[[str], None] = lambda _: None  # told of each task that ends; set by the runner
        self.log = hub.log
        self._offered = trio.Event()  # set when there is a task to claim

    def register(self, kind: Kind) -> None:
        """Make a kind of work known; before the server runs."""
        check_kind(kind.name)
        if kind.name in self.kinds:
            raise ValueError(f"there is a kind {kind.name!r} already")
        self.kinds[kind.name] = kind

    async def claim(
        self,
        kinds: Collection[str],
        worker: str,
        *,
        lease_seconds: float | None = None,
        wait_seconds: float = 0.0,
    ) -> Task | None:
        """Take up the oldest pending task of some kinds; None when there is none after ``wait_seconds``.

        Whoever has it holds it by ``lease``, and must say something before ``lease_until``.

        Cancelled before a task was taken, or not at all.

        Raises:
            InvalidField: the lease is out of bounds, or the server itself works on one of these kinds.
        """
        check_lease_seconds(lease_seconds, self.settings)
        if not worker.startswith(LOCAL):
            for name in kinds:
                if (known := self.kinds.get(name)) is not None and known.work is not None:
                    raise InvalidField(
                        f"tasks of kind {name!r} are worked on by the server itself", field="kinds"
                    )
        claimed: list[Change] = []

        def take(task: Task) -> Sequence[Change]:
            lease = self.new_lease(worker, lease_seconds)
            claimed[:] = [self._present(operations.start(task, self.now(), **lease))]
            return claimed

        with trio.move_on_after(wait_seconds):
            while True:
                if self._offered.is_set():
                    self._offered = trio.Event()
                offered = self._offered
                with trio.CancelScope(shield=True):
                    task = await self.store.claim(kinds, take)
                if task is not None:
                    self._note(Status.PENDING, claimed)
                    return task
                await offered.wait()
        return None

    async def perform(self, task_id: str, operation: Operation, *, lease: str | None = None) -> Task:
        """Do something with a task, and let its followers know; the task as it is afterwards.

        Args:
            lease: of the worker who does it; None for everybody else.

        Raises:
            LeaseLost: the task is not that worker's.
            TooLarge: it would be more than a task may hold.
            NotFound, Gone: there is no such task, or not any more.
        """
        made: list[Change] = []
        before: list[Status] = []

        def checked(task: Task) -> Sequence[Change]:
            if (
                lease is not None
                and not task.status.ended
                and not (task.lease and secrets.compare_digest(task.lease.encode(), lease.encode()))
            ):
                raise LeaseLost("this lease does not hold the task, or not any more", field="lease")
            before[:] = [task.status]
            made[:] = [self._present(change) for change in operation(task)]
            if made:
                check_size(made[-1].task, self.settings)
            return made

        began = time.perf_counter()
        task = await self.store.change(task_id, checked)
        self.metrics.store_seconds.observe(time.perf_counter() - began)
        self._note(before[0], made)
        return task

    async def store_new(self, changes: Sequence[Change]) -> Task:
        """Keep a task that these changes make, and let whoever waits for work know.

        Raises:
            TaskExists: its id is taken.
            Unavailable: too many of its kind wait or run.
        """
        changes = [self._present(change) for change in changes]
        task = changes[-1].task
        known = self.kinds.get(task.kind)
        began = time.perf_counter()
        await self.store.create(
            changes, max_unfinished=(known and known.max_kept) or self.settings.max_per_kind
        )
        self.metrics.store_seconds.observe(time.perf_counter() - began)
        self.outbox.forget(task.id)
        self._note(None, changes)
        if task.status is Status.PENDING:
            self._offered.set()
        return task

    def completion(self, kind: str, result: Any, *, message: str | None = None) -> Callable[[Task], Change]:
        """What completes a task of a kind with a result; for :meth:`perform`."""
        raw = encode_json(result, "result", self.settings.max_result_bytes)
        known = self.kinds.get(kind)
        compress = known.compress_results if known is not None else None
        if compress is None:
            compress = self.settings.compress_results
        fits = len(raw) <= self.settings.max_event_result_bytes
        shown = msgspec.json.decode(raw) if fits else operations.UNSHOWN
        stored = zlib.compress(raw) if compress else raw

        def complete(task: Task) -> Change:
            return operations.complete(task, self.now(), result=stored, message=message, shown_result=shown)

        return complete

    def present(self, task: Task, message: Message) -> Message:
        """A message in the shape of the task's kind; the standard one where the kind fails to give it one."""
        known = self.kinds.get(task.kind)
        if known is None or known.present is standard:
            return message
        try:
            presented = known.present(task, message)
            msgspec.json.encode(presented.data)
        except Exception:  # noqa: BLE001 - how something is said must not break what is done
            _log.exception("task_message_not_presented", task=task.id, kind=task.kind, type=message.type)
            return message
        return presented

    def bounds(self) -> tuple[Mapping[str, Bounds], Bounds]:
        """How long and how many tasks are kept: by kind, and for all other kinds."""
        settings = self.settings
        default = Bounds(settings.keep_seconds, settings.max_per_kind)
        by_kind = {
            kind.name: Bounds(kind.keep_seconds or default.keep_seconds, kind.max_kept or default.max_kept)
            for kind in self.kinds.values()
        }
        return by_kind, default

    def new_lease(self, worker: str, lease_seconds: float | None) -> dict[str, Any]:
        """What :func:`.operations.start` is told of who begins."""
        return {
            "worker": worker,
            "lease": secrets.token_urlsafe(18),
            "lease_seconds": check_lease_seconds(lease_seconds, self.settings),
        }

    def _present(self, change: Change) -> Change:
        return attrs.evolve(change, message=self.present(change.task, change.message))

    def _note(self, before: Status | None, changes: Sequence[Change]) -> None:
        """Count what was stored, and have it published."""
        if not changes:
            return
        task = changes[-1].task
        if before is not None:
            self.metrics.counts[task.kind, before] -= 1
        self.metrics.counts[task.kind, task.status] += 1
        self.metrics.outbox_depth.inc(len(changes))
        self.outbox.wake()
        if task.status.ended:
            self.on_end(task.id)
