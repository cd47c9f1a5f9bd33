"""The task engine: every change of a task is validated, stored with its events, counted and published."""

import secrets
import time
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec
import trio

from ..characters import quoted
from ..clock import SteadyClock
from ..errors import InvalidField, LeaseLost, ShuttingDown
from ..events import EventSettings
from ..hub import Hub
from ..idempotency import IdempotencyKey
from ..json import count_opening
from ..unreadable import DAMAGE
from . import operations
from .checks import check_event_types, check_kind, check_lease_seconds, check_size, encode_value
from .claims import ClaimQueue
from .failures import log_failure
from .kinds import Kind
from .metrics import TaskMetrics
from .model import LOCAL, Change, Operation, Task
from .presentation import Presenter
from .pressure import RetentionPressure
from .publisher import OutboxPublisher
from .reports import Completion
from .settings import TaskSettings
from .states import Status
from .store.port import Bounds, ClaimedTask, TaskStore

_EVENT_BRACKETS_MAX: Final = 5_000  # of the result in an event, which is encoded and checked several times


class TaskEngine:
    """The engine that applies operations to the tasks of one server.

    Args:
        store: the task store.
        hub: the hub on which the tasks' events are published.
        settings: limits and intervals of tasks.
        limits: the limits of events for publishers.
        metrics: the counters.
        clock: decides leases, deadlines and retention, and stamps the times of tasks; by default a clock of
            its own, which knows nothing of earlier processes.

    Attributes:
        now: returns steady time; any thread may call it.
        kinds: the registered kinds, by name.
        presenter: builds the events of changes and snapshots, as the kinds present them.
        outbox: the publisher of the store's outbox.
        on_end: called with the id of each task that ends; set by the runner.
        on_offer: called with each kind that may have a pending task, '' for any; set by the runner.
        pressure: shortens the retention of ended tasks while the store is nearly full.
    """

    def __init__(
        self,
        store: TaskStore,
        hub: Hub,
        settings: TaskSettings,
        limits: EventSettings,
        metrics: TaskMetrics,
        clock: SteadyClock | None = None,
    ) -> None:
        self.store: Final = store
        self.settings = settings
        self.metrics: Final = metrics
        self.clock: Final = clock or SteadyClock()
        self.now: Final = self.clock.now
        self.kinds: Final[dict[str, Kind]] = {}
        self.presenter: Final = Presenter(self.kinds)
        self.outbox: Final = OutboxPublisher(store, hub, limits, metrics, self.kinds)
        self.on_end: Callable[[str], None] = lambda _: None
        self.on_offer: Callable[[str], None] = lambda _: None
        self.outbox.on_end = self._note_end
        self.outbox.on_creation = self.offer
        self.log = hub.log
        self._claims = ClaimQueue()
        self.pressure: Final = RetentionPressure()
        self._closed_for_seconds: float | None = None  # Retry-After of claims, once they are closed

    def register(self, kind: Kind) -> None:
        """Register a kind of work; call this before the runtime runs.

        Raises:
            InvalidField: the kind's name or one of its event types is invalid.
            ValueError: a kind of that name is registered.
        """
        check_kind(kind.name)
        check_event_types(kind.event_types)
        if kind.name in self.kinds:
            raise ValueError(f"there is a kind {kind.name!r} already")
        self.kinds[kind.name] = kind

    def replace(self, kind: Kind) -> None:
        """Replace a registered kind; tasks that run go on as they began.

        Raises:
            InvalidField: one of its event types is invalid.
            KeyError: no kind of that name is registered.
        """
        check_event_types(kind.event_types)
        self.kinds[self.kinds[kind.name].name] = kind

    def check_elsewhere(self, kind: str, field: str) -> None:
        """Check that workers elsewhere may hold tasks of a kind.

        Raises:
            InvalidField: tasks of this kind run in this process.
        """
        known = self.kinds.get(kind)
        if known is not None and known.work is not None:
            raise InvalidField(
                f"tasks of kind {quoted(kind)} are worked on by the server itself", field=field
            )

    async def claim(
        self,
        kinds: Collection[str],
        worker: str,
        *,
        lease_seconds: float | None = None,
        wait_seconds: float = 0.0,
    ) -> ClaimedTask | None:
        """Claim the oldest pending task of some kinds for a worker, and start it.

        The worker holds the task by its ``lease``, and must report before ``lease_until``. Claims that wait
        are served in the order of their arrival. Cancelling either claims nothing or happens before a task
        was claimed.

        Args:
            kinds: the names of the kinds.
            worker: the worker's name.
            lease_seconds: the lease's duration (s); None for ``tasks.lease_seconds``.
            wait_seconds: timeout for a task to become pending (s).

        Returns:
            The task and its input; None when no task was pending in time.

        Raises:
            InvalidField: the lease is out of bounds, or a kind runs in this process.
            ShuttingDown: claims are closed, or were closed during the wait.
        """
        check_lease_seconds(lease_seconds, self.settings)
        if not worker.startswith(LOCAL):
            for kind in kinds:
                self.check_elsewhere(kind, "kinds")
        made: list[Change] = []

        def start(task: Task) -> Sequence[Change]:
            lease = self.new_lease(worker, lease_seconds)
            started = operations.start(task.with_offset(offset), self.now(), **lease)
            made[:] = [self.presenter.present_change(started)]
            return made

        with self._claims.join(kinds) as waiting, trio.move_on_after(wait_seconds):
            while True:
                if self._closed_for_seconds is not None:
                    raise ShuttingDown(
                        "the server is shutting down", retry_after_seconds=self._closed_for_seconds
                    )
                waiting.begin_look()
                offset = self.clock.offset()
                with trio.CancelScope(shield=True):
                    claimed = await self.store.claim(kinds, start)
                    waiting.end_look(claimed.task.kind if claimed is not None else None)
                    if claimed is not None:
                        self._note(Status.PENDING, made)
                        if await self._has_input(claimed):
                            return claimed
                        continue
                await waiting.wait()
        return None

    async def _has_input(self, claimed: ClaimedTask) -> bool:
        """Return True if the input of a claimed task is JSON; otherwise fail the task."""
        try:
            msgspec.json.decode(claimed.raw_input.decode(), type=msgspec.Raw)
        except DAMAGE as error:
            task = claimed.task
            unreadable = self.store.unreadable.report("input of task", task.id, error)
            fail = partial(operations.fail, code=unreadable.code, detail=unreadable.detail)
            await self.perform(task.id, lambda task: [fail(task, self.now())], lease=task.lease)
            return False
        return True

    def offer(self, kind: str = "", count: int = 1) -> None:
        """Let waiting claims look for pending tasks, one claim for each task.

        Args:
            kind: the kind of the tasks; '' if it is not known.
            count: the number of tasks.
        """
        self.on_offer(kind)
        if kind:
            self._claims.offer(kind, count)
        else:
            self._claims.offer_all()

    def close_claims(self, retry_after_seconds: float) -> None:
        """Reject all claims from now on, those that wait for a task included.

        Pending tasks stay pending, so that the next process can start them.

        Args:
            retry_after_seconds: ``Retry-After`` of the rejected claims (s).
        """
        self._closed_for_seconds = retry_after_seconds
        self._claims.close()

    async def perform(
        self,
        task_id: str,
        operation: Operation,
        *,
        lease: str | None = None,
        check: Callable[[Task], None] = lambda _: None,
    ) -> Task:
        """Apply an operation to a task, publish its changes, and return the task after them.

        Args:
            task_id: the task.
            operation: builds the changes; may run in another thread.
            lease: the lease of the worker who performs it; None for everybody else.
            check: refuses the task, as it was before an operation that it allows, by an error; may run in
                another thread.

        Raises:
            LeaseLost: the lease does not hold the task.
            TooLarge: the task would exceed a limit.
            NotFound: there is no such task.
            Gone: the task was deleted.
            Unavailable: the store cannot be written to.
        """
        made: list[Change] = []
        before: list[Status] = []
        offset = self.clock.offset()

        def checked(task: Task) -> Sequence[Change]:
            if (
                lease is not None
                and not task.status.ended
                and not (task.lease and secrets.compare_digest(task.lease.encode(), lease.encode()))
            ):
                raise LeaseLost("this lease does not hold the task, or not any more", field="lease")
            before[:] = [task.status]
            task = task.with_offset(offset)
            made[:] = [self.presenter.present_change(change) for change in operation(task)]
            check(task)
            if made:
                check_size(task, made[-1].task, self.settings)
            return made

        began = time.perf_counter()
        task = await self.store.change(task_id, checked)
        self.metrics.store_seconds.observe(time.perf_counter() - began)
        self._note(before[0], made)
        return task.with_offset(offset)

    async def store_new(
        self, changes: Sequence[Change], raw_input: bytes, key: IdempotencyKey | None = None
    ) -> Task:
        """Store a new task, and offer it to a waiting claim; or return the task of its key.

        Args:
            changes: the task's creation, and any changes that follow it at once.
            raw_input: the task's input, JSON.
            key: the idempotency key, if it has one.

        Raises:
            IdempotencyConflict: the task of the key was made from other content.
            TaskExists: the id is taken.
            InsufficientStorage: the store has no room.
            Unavailable: the kind has the maximum number of unfinished tasks.
        """
        changes = [self.presenter.present_change(change) for change in changes]
        task = changes[-1].task
        began = time.perf_counter()
        stored = await self.store.create(
            changes,
            raw_input=raw_input,
            max_unfinished=self._max_unfinished(task.kind),
            max_tasks=self._max_tasks,
            key=key,
        )
        self.metrics.store_seconds.observe(time.perf_counter() - began)
        if stored is not None:
            return stored.with_offset(self.clock.offset())
        if not self.store.is_shared:  # such a store tells all nodes, in the order of the log
            self.outbox.positions.forget(task.id)
        self._note(None, changes)
        if task.status is Status.PENDING:
            self.offer(task.kind)
        return task

    def completion(self, result: Any, *, message: str = "") -> Completion:
        """Build the operation that completes a task with a result.

        The result is encoded when the operation is applied, so that a report needs one store call.

        Args:
            result: a JSON value.
            message: the task's last message; blank for the one of its kind.

        Raises:
            InvalidField, TooLarge: (from the operation) the result is no JSON value, or exceeds a limit.
        """
        settings = self.settings

        def complete(task: Task, now: datetime) -> Change:
            raw = encode_value(result, "result", settings.max_result_bytes)
            known = self.kinds.get(task.kind)
            compress = known.compress_results if known is not None else None
            if compress is None:
                compress = settings.compress_results
            fits = len(raw) <= settings.max_event_result_bytes and count_opening(raw) <= _EVENT_BRACKETS_MAX
            shown = msgspec.json.decode(raw) if fits else operations.UNSHOWN
            stored = zlib.compress(raw) if compress else raw
            said = message
            if known is not None and not said.strip():
                said = known.completion_message
            return operations.complete(task, now, result=stored, message=said, shown_result=shown)

        return complete

    def cancellation(self, message: str = "") -> Completion:
        """Build the operation that cancels a task.

        Args:
            message: the task's last message; blank for the one of its kind.
        """

        def cancel(task: Task, now: datetime) -> Change:
            known = self.kinds.get(task.kind)
            said = known.cancellation_message if known is not None and not message.strip() else message
            return operations.cancel(task, now, detail=said)

        return cancel

    def bounds(self) -> tuple[Mapping[str, Bounds], Bounds]:
        """Return the limits for tasks that are kept: those by kind, and those of all other kinds."""
        return self.pressure.bounds(self.kinds, self.settings)

    def note_fill(self) -> None:
        """Shorten the retention of ended tasks while the store is nearly full; called before each sweep."""
        stored = self.store.shared_tasks if self.store.is_shared else self.metrics.stored
        self.metrics.fill.set(stored / self._max_tasks)
        self.pressure.note(max(self.store.room.fill, stored / self._max_tasks))

    @property
    def _max_tasks(self) -> int:
        return max(self.settings.max_tasks, self.settings.max_per_kind)

    def _max_unfinished(self, kind: str) -> int:
        """Return how many unfinished tasks of a kind there may be; 0 if there is no room for any task."""
        if not self.store.is_shared and self.metrics.stored >= self._max_tasks:
            return 0
        known = self.kinds.get(kind)
        return (known and known.max_kept) or self.settings.max_per_kind

    def new_lease(self, worker: str, lease_seconds: float | None) -> dict[str, Any]:
        """Build the arguments of :func:`.operations.start` for a worker."""
        return {
            "worker": worker,
            "lease": secrets.token_urlsafe(18),
            "lease_seconds": check_lease_seconds(lease_seconds, self.settings),
        }

    def _note_end(self, task_id: str) -> None:
        self.on_end(task_id)

    def _note(self, before: Status | None, changes: Sequence[Change]) -> None:
        """Count stored changes, and wake the publisher."""
        rows = sum(len(change.publications) for change in changes)
        if not rows:
            return
        task = changes[-1].task
        if before is None:
            self.metrics.stored += 1
        else:
            self.metrics.counts[task.kind, before] -= 1
        self.metrics.counts[task.kind, task.status] += 1
        self.metrics.outbox_depth.inc(rows)
        if not self.store.publishes:
            self.outbox.wake()
        if task.status.ended:
            if task.status is Status.FAILED:
                log_failure(task)
            self.on_end(task.id)
