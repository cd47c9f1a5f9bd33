"""The runner: work in this process, and the leases, deadlines and expiry of all tasks."""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final, NoReturn

import structlog
import trio

from ..errors import (
    InsufficientStorage,
    InvalidField,
    InvalidTransition,
    LeaseLost,
    OutcomeUnknown,
    ShuttingDown,
    StreamdError,
    TooLarge,
    Unavailable,
)
from . import operations
from .model import LOCAL, Change, Operation, Task
from .progress import Progress, WorkFailed, running
from .reports import Completion
from .sentences import fit
from .settings import TaskSettings
from .slots import KindSlots
from .states import Status
from .store.port import ClaimedTask, is_overdue
from .tasks import Tasks

_INTERNAL: Final = "something went wrong while this was worked on"
_STALLED: Final = "its worker has said nothing for too long"
_RESTARTED: Final = "the server was restarted while this was worked on"
_FIRST_RETRY_SECONDS: Final = 0.1
_LAST_RETRY_SECONDS: Final = 10.0

_log = structlog.get_logger(__name__)


class Runner:
    """The runner of the kinds that work in this process.

    Args:
        tasks: the tasks and kinds.

    Attributes:
        worker: the name under which it claims tasks; unique to this process.
    """

    def __init__(self, tasks: Tasks) -> None:
        self.worker: Final = LOCAL + secrets.token_hex(8)
        self._tasks = tasks
        self._running: dict[str, trio.CancelScope] = {}
        self._spared_until = 0.0  # until then no lease that has run out fails its task (s on trio's clock)
        self._slots: Final = KindSlots(tasks.settings.max_running)
        self._pending: Final[set[str]] = set()  # kinds of this process that may have a pending task
        self._changed = trio.Event()  # set when a kind is offered, and when a slot may be free
        tasks.on_end = self._ended
        tasks.on_offer = self._offered

    def apply_settings(self, settings: TaskSettings) -> None:
        """Run tasks by another limit from now on; those that run beyond it go on."""
        self._slots.maximum = settings.max_running
        self._changed.set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Fail the tasks that an earlier process left running, then run work until cancelled.

        Runs at most ``tasks.max_running`` tasks at once, with a reserve for each kind (:class:`.KindSlots`),
        and starts none once claims are closed. Cancelling cancels their work; the tasks stay running, and
        fail when the store is next opened.

        Raises:
            Unavailable: the store could not be read or written to at the start.
        """
        await self.recover()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sweep)
            nursery.start_soon(self._tasks.outbox.run)
            task_status.started()
            await self._work_on_all(nursery)
        raise AssertionError("the runner runs until it is cancelled")

    async def recover(self) -> None:
        """Fail the tasks of an earlier process, and extend the leases of workers elsewhere.

        The latter could not report while no process was running. Nothing is done in a store that several
        processes share.
        """
        tasks = self._tasks
        await self._count()
        if tasks.store.is_shared:
            return  # other processes may be running: the leases tell whose work is lost
        for task in await tasks.store.held_by(LOCAL):
            await self._fail_if(task.id, lambda _: True, operations.STALLED, _RESTARTED)
        until = tasks.now() + timedelta(seconds=tasks.settings.lease_seconds)
        elsewhere = [
            task.id
            for task in await tasks.store.held_by("")
            if task.lease_until is None or task.lease_until < task.at(until)  # never shorten a lease
        ]
        await tasks.store.renew(elsewhere, until)

    async def _count(self) -> None:
        metrics, store = self._tasks.metrics, self._tasks.store
        counts, depth = await store.counts(), await store.outbox_depth()
        metrics.load(counts)
        metrics.outbox_depth.set(depth)

    # --- work -----------------------------------------------------------------------------------

    async def _work_on_all(self, nursery: trio.Nursery) -> None:
        kinds = [kind.name for kind in self._tasks.kinds.values() if kind.work is not None]
        self._slots.divide(kinds)
        self._pending.update(kinds)
        while True:
            kind = self._slots.next_kind(self._pending)
            if kind is None:
                self._changed = trio.Event()
                await self._changed.wait()
                continue
            self._pending.discard(kind)  # before the claim, because a task that is created meanwhile counts
            try:
                claimed = await self._tasks.claim([kind], self.worker)
            except ShuttingDown:
                await trio.sleep_forever()
            except (Unavailable, OutcomeUnknown):
                _log.exception("task_claim_failed")
                self._pending.add(kind)
                await trio.sleep(_FIRST_RETRY_SECONDS)
                continue
            if claimed is not None:
                self._pending.add(kind)
                self._slots.take(kind)
                nursery.start_soon(self._work_on, claimed)

    def _offered(self, kind: str) -> None:
        """Note that a kind, or any kind for '', may have a pending task."""
        for name in (kind,) if kind else tuple(self._tasks.kinds):
            known = self._tasks.kinds.get(name)
            if known is not None and known.work is not None:
                self._pending.add(name)
                self._changed.set()

    async def _work_on(self, claimed: ClaimedTask) -> None:
        task = claimed.task
        kind = self._tasks.kinds[task.kind]
        work = kind.work
        assert work is not None
        perform = partial(self._perform, task)
        progress = Progress(task, perform, self._tasks.now, claimed.raw_input)
        scope = self._running[task.id] = trio.CancelScope()
        left = (task.deadline - task.at(self._tasks.now())).total_seconds()
        timed = trio.move_on_after(max(0.0, left))
        try:
            with scope, running(progress):
                with timed:
                    stored = await self._patiently(partial(self._tasks.store.get, task.id))
                    if stored.status.ended:
                        return  # it was ended before there was a scope to cancel
                    result = await work(progress)
                if timed.cancelled_caught:
                    await self._fail_at_deadline(task)
                else:
                    await self._complete(task, result, progress.completion_message)
        except Exception as error:  # noqa: BLE001 - an error of the work ends its task only
            if scope.cancel_called:
                return  # the task has ended, and the work failed while it was being cancelled
            why = _describe_error(error, task)
            try:
                if timed.cancel_called:  # it failed while being cancelled
                    await self._fail_at_deadline(task)
                else:
                    await self._fail(task, *why)
            except Exception:  # noqa: BLE001 - without renewals its lease runs out, which fails it
                _log.exception("task_not_ended", task=task.id)
        finally:
            del self._running[task.id]
            self._slots.release(task.kind)
            self._changed.set()

    async def _perform(self, task: Task, operation: Operation) -> Task:
        return await self._patiently(partial(self._tasks.perform, task.id, operation, lease=task.lease))

    async def _patiently(self, call: Callable[[], Awaitable[Task]]) -> Task:
        """Call the store for local work, again while a server that nodes share is away for a while.

        The deadline of the task bounds it, and its lease: the work ends with either.

        Raises:
            Unavailable: the store is in this process or its file, and has failed.
        """
        retry_seconds = _FIRST_RETRY_SECONDS
        while True:
            try:
                return await call()
            except Unavailable as error:
                if not self._tasks.store.is_shared:
                    raise
                _log.warning("task_call_delayed", detail=error.detail)
            await trio.sleep(retry_seconds)
            retry_seconds = min(2 * retry_seconds, _LAST_RETRY_SECONDS)

    async def _complete(self, task: Task, result: object, message: str) -> None:
        try:
            await self._end(task, self._tasks.completion(result, message=message))
        except (InvalidField, TooLarge) as error:
            await self._fail(task, operations.INTERNAL, error.detail)

    async def _fail_at_deadline(self, task: Task) -> None:
        if await self._fail(task, operations.TIMEOUT, _describe_deadline(task)):
            self._tasks.metrics.timeouts.inc()

    async def _fail(self, task: Task, code: str, detail: str) -> bool:
        said = fit(detail)  # may quote a result that is no JSON
        return await self._end(task, lambda task, now: operations.fail(task, now, code=code, detail=said))

    async def _end(self, task: Task, end: Completion) -> bool:
        """End a task, retrying while the store is unavailable. Return False if another end came first."""
        retry_seconds = _FIRST_RETRY_SECONDS
        while True:
            try:
                await self._tasks.perform(
                    task.id, lambda task: [end(task, self._tasks.now())], lease=task.lease
                )
            except (Unavailable, OutcomeUnknown) as error:  # if it was stored, the next attempt finds an end
                _log.error("task_end_not_stored", task=task.id, detail=error.detail)
                await trio.sleep(retry_seconds)
                retry_seconds = min(2 * retry_seconds, _LAST_RETRY_SECONDS)
            except (InvalidTransition, LeaseLost):
                return False
            else:
                return True

    def _ended(self, task_id: str) -> None:
        scope = self._running.get(task_id)
        if scope is not None:
            scope.cancel()

    # --- leases, deadlines, expiry --------------------------------------------------------------

    async def _sweep(self) -> NoReturn:
        """Periodically renew local leases, fail overdue tasks and delete expired ones."""
        renewed = trio.current_time()
        while True:
            await trio.sleep(self._tasks.settings.sweep_seconds)
            is_due = trio.current_time() - renewed >= self._tasks.settings.lease_seconds / 3
            if is_due and await self._attempt(self._renew):
                renewed = trio.current_time()
            await self._attempt(self.end_overdue)
            await self._attempt(self.expire)
            if self._tasks.store.is_shared:  # other processes change it too
                await self._attempt(self._count)
                for (kind, status), count in tuple(self._tasks.metrics.counts.items()):
                    if status is Status.PENDING:
                        self._tasks.offer(kind, count)

    async def _attempt(self, do: Callable[[], Awaitable[object]]) -> bool:
        """Call a part of a sweep, and return True if it succeeded; a failure delays no other part."""
        try:
            await do()
        except Unavailable as error:  # such as a full disk, which the store has logged
            _log.warning("task_sweep_failed", detail=error.detail)
            if self._tasks.store.is_shared:  # the workers could not renew their leases either
                self._spared_until = trio.current_time() + self._tasks.settings.lease_seconds
            return False
        except Exception:  # noqa: BLE001 - the next sweep may succeed
            _log.exception("task_sweep_failed")
            return False
        return True

    async def _renew(self) -> None:
        until = self._tasks.now() + timedelta(seconds=self._tasks.settings.lease_seconds)
        await self._tasks.store.renew(list(self._running), until)

    async def end_overdue(self) -> None:
        """Fail the tasks whose deadline has passed, or whose worker has let its lease run out.

        Raises:
            Unavailable: the store could not be read or written to.
        """
        now = self._tasks.now()
        for task in await self._tasks.store.overdue(now):
            if task.deadline <= task.at(now):
                code, detail = operations.TIMEOUT, _describe_deadline(task)
            elif task.id in self._running:
                continue  # its work is alive: the process was suspended, and the next sweep renews the lease
            elif trio.current_time() < self._spared_until:
                continue
            else:
                code, detail = operations.STALLED, _STALLED
            await self._fail_if(task.id, lambda task: is_overdue(task, now), code, detail)

    async def _fail_if(self, task_id: str, holds: Callable[[Task], bool], code: str, detail: str) -> None:
        """Fail a task if a condition still holds. A task that cannot be failed must not delay others.

        Raises:
            Unavailable: the store could not be written to, so no other task can be failed either.
        """
        failed = False

        def fail(task: Task) -> Sequence[Change]:
            nonlocal failed
            failed = not task.status.ended and holds(task)
            return [operations.fail(task, self._tasks.now(), code=code, detail=detail)] if failed else []

        try:
            await self._tasks.perform(task_id, fail)
        except Unavailable:
            raise
        except StreamdError as error:
            _log.error("task_end_not_stored", task=task_id, detail=error.detail)
        else:
            metrics = self._tasks.metrics
            if failed:
                (metrics.timeouts if code == operations.TIMEOUT else metrics.stalled).inc()

    async def expire(self) -> int:
        """Delete expired tasks, and return their number."""
        tasks, settings = self._tasks, self._tasks.settings
        tasks.note_fill()
        by_kind, default = tasks.bounds()
        expired = await tasks.store.expire(
            tasks.now(),
            by_kind,
            default,
            tombstone_seconds=settings.tombstone_seconds,
            max_tombstones=settings.max_tombstones,
        )
        for task in expired:
            if task.status is not None:
                tasks.metrics.counts[task.kind, task.status] -= 1
        tasks.metrics.note_expired(len(expired))
        return len(expired)


def _describe_deadline(task: Task) -> str:
    """Build the detail of the error of a task that missed its deadline."""
    seconds = task.timeout_seconds or (task.deadline - task.created_at) / timedelta(seconds=1)
    return f"it took longer than the {seconds:g} s that it may take"


def _describe_error(error: Exception, task: Task) -> tuple[str, str]:
    """Build code and detail for clients. An unexpected error is logged, and not shown to them."""
    failed = _find_failure(error)
    if failed is not None:
        return failed.code, failed.detail
    _log.error("task_work_raised", task=task.id, kind=task.kind, exc_info=error)
    return operations.INTERNAL, _INTERNAL


def _find_failure(error: BaseException) -> WorkFailed | InsufficientStorage | None:
    if isinstance(error, BaseExceptionGroup):
        return next((found for part in error.exceptions if (found := _find_failure(part))), None)
    return error if isinstance(error, (WorkFailed, InsufficientStorage)) else None
