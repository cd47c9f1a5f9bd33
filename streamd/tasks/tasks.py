"""Tasks as programs use them: create, read, follow, report on and end."""

import secrets
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import attrs
import msgspec
import trio

from ..characters import quoted
from ..errors import NoResult, NotFound, NotReady, Unavailable
from ..events import EventId
from ..idempotency import IdempotencyKey
from ..json import EncodedJson
from ..unreadable import DAMAGE
from . import operations
from .checks import (
    check_id,
    check_kind,
    check_lease_seconds,
    check_owner,
    check_steps,
    check_timeout,
    encode_value,
)
from .engine import TaskEngine
from .messages import make_snapshot
from .model import Message, StepPlan, Task
from .reports import Report
from .states import Status
from .store.port import Snapshot

_RESULT_RETRY_SECONDS: Final = 2.0  # Retry-After of a result that does not exist yet
_PUBLISH_WAIT_SECONDS: Final = (
    5.0  # of a new stream, for its task's stored messages: far longer than a batch takes
)
_ENDED_AS: Final = {Status.FAILED: "failed", Status.CANCELLED: "was cancelled"}


@attrs.frozen(kw_only=True)
class TaskView:
    """The current state of a task, with which a new stream begins.

    Args:
        task: the task.
        message: its snapshot message; None if its kind leaves it out for an ended task.
        position: the snapshot's position in the log: all later events are not part of it.
        end: the message of its last version, once it has ended.
        published_id: the event of the task's version, which an earlier log may have given out.
    """

    task: Task
    message: Message | None
    position: EventId
    end: Message | None
    published_id: EventId


class Tasks(TaskEngine):
    """The tasks of one server; :class:`.engine.TaskEngine` has the constructor's arguments."""

    async def create(
        self,
        kind: str,
        *,
        id: str | None = None,
        owner: str = "",
        input: Any = None,
        steps: Sequence[StepPlan] = (),
        timeout_seconds: float | None = None,
        message: str = "",
        worker: str | None = None,
        lease_seconds: float | None = None,
        idempotency_key: str | None = None,
    ) -> Task:
        """Create a task. The runner starts it if its kind works in this process.

        A call with the key of a task that is kept returns that task, as it is now, also while the kind has
        the maximum number of tasks. A key belongs to its owner and, for a private kind, to the kind; all
        other kinds share their keys. The content that must be the same is the chosen id and the input, which
        a private kind makes from the request; for other kinds it is every argument. An ``EncodedJson`` is
        compared byte by byte.

        Args:
            kind: the name of its kind.
            id: an id chosen by the caller; None generates one.
            owner: the owner's name, for listing.
            input: the input of the work, a JSON value or an :class:`~streamd.json.EncodedJson`.
            steps: the planned steps, with their weights.
            timeout_seconds: time to its deadline (s); None for the kind's.
            message: the first message.
            worker: the name of the caller, who starts the task at once and reports by its lease; None leaves
                it pending.
            lease_seconds: the duration of that lease (s).
            idempotency_key: marks retries of one request, see :mod:`streamd.idempotency`; None: every call
                creates a task.

        Raises:
            InvalidField: a value is invalid.
            TooLarge: a value exceeds a limit.
            TaskExists: the id is taken.
            IdempotencyConflict: a task was created under the key with other content.
            Unavailable: the kind has the maximum number of unfinished tasks.
        """
        known = self.kinds.get(check_kind(kind))
        if worker is not None:
            self.check_elsewhere(kind, "worker")
        if timeout_seconds is not None:
            check_timeout(timeout_seconds, self.settings)
        created = operations.create(
            id=check_id(id) if id is not None else secrets.token_hex(12),
            kind=kind,
            now=self.now(),
            clock_offset=self.clock.offset(),
            timeout_seconds=timeout_seconds
            or (known and known.timeout_seconds)
            or self.settings.timeout_seconds,
            owner=check_owner(owner),
            message=message,
            steps=check_steps(steps, self.settings.max_steps),
        )
        max_input_bytes = known.max_input_bytes if known is not None else None
        if max_input_bytes is None:
            max_input_bytes = self.settings.max_input_bytes
        raw_input = encode_value(input, "input", max_input_bytes)
        key = None
        if idempotency_key is not None:
            others = (steps, timeout_seconds, message, worker, lease_seconds)
            is_private = known is not None and known.private
            key = _make_key(idempotency_key, kind, owner, id, input, others, is_private=is_private)
        changes = [created]
        if worker is not None:
            lease = self.new_lease(worker, lease_seconds)
            changes.append(operations.start(created.task, self.now(), **lease))
        return await self.store_new(changes, raw_input, key)

    async def get(self, task_id: str, *, kind: str | None = None) -> Task:
        """Return a task.

        Args:
            task_id: the task.
            kind: the kind it must have; None for any.

        Raises:
            NotFound: there is no such task of that kind.
            Gone: the task was deleted.
            Unreadable: the stored task is damaged.
        """
        task = await self.store.get(task_id)
        if kind not in (None, task.kind):
            raise NotFound(f"there is no {kind} {quoted(task_id)}", field="id")
        return task.with_offset(self.clock.offset())

    async def input(self, task_id: str, *, kind: str | None = None, type: Any = Any) -> Any:
        """Return a task's input, a JSON value.

        Args:
            task_id: the task.
            kind: the kind it must have; None for any.
            type: the type of the input, as for :func:`msgspec.json.decode`.

        Raises:
            Unreadable: the stored input is damaged, or not of this type.
            NotFound, Gone: as for :meth:`get`.
        """
        if kind is not None:
            await self.get(task_id, kind=kind)
        raw = await self.store.input(task_id)
        try:
            return msgspec.json.decode(raw, type=type)
        except DAMAGE as error:
            raise self.store.unreadable.report("input of task", task_id, error) from error

    async def list(
        self,
        *,
        kind: str | None = None,
        status: Status | None = None,
        owner: str | None = None,
        limit: int = 100,
    ) -> list[Task]:
        """Return matching tasks, the newest first, without damaged ones."""
        found = await self.store.find(kind=kind, status=status, owner=owner, limit=limit)
        offset = self.clock.offset()
        return [task.with_offset(offset) for task in found]

    async def result(self, task_id: str, *, kind: str | None = None) -> Any:
        """Return the result of a completed task, a JSON value.

        Raises:
            NotReady: the task has not ended.
            NoResult: the task failed or was cancelled.
            Unreadable: the stored result is damaged.
            NotFound, Gone: as for :meth:`get`.
        """
        task = await self.get(task_id, kind=kind)
        if not task.status.ended:
            raise NotReady(
                f"the task is {task.status.value}; there is no result yet",
                retry_after_seconds=_RESULT_RETRY_SECONDS,
            )
        if task.status is not Status.COMPLETED:
            why = f": {task.error.detail}" if task.error else ""
            raise NoResult(f"the task {_ENDED_AS[task.status]}{why}")
        raw = await self.store.result(task_id)
        try:
            return msgspec.json.decode(_unpack(raw or b""))
        except (*DAMAGE, zlib.error) as error:
            raise self.store.unreadable.report("result of task", task_id, error) from error

    async def text(self, task_id: str) -> str:
        """Return the text that the task has streamed so far."""
        return (await self.store.snapshot(task_id)).text

    async def cancel(
        self, task_id: str, *, message: str = "", check: Callable[[Task], None] = lambda _: None
    ) -> Task:
        """Cancel an unfinished task; a worker elsewhere learns of it at its next report.

        Args:
            task_id: the task.
            message: the reason, which is the task's last message; blank for the one of its kind.
            check: as for :meth:`.TaskEngine.perform`.

        Raises:
            InvalidField: the message is too long, or has an invalid character.
            InvalidTransition: the task has ended.
            NotFound, Gone: as for :meth:`get`.
        """
        cancel = self.cancellation(message)
        return await self.perform(task_id, lambda task: [cancel(task, self.now())], check=check)

    async def complete(
        self, task_id: str, result: Any, *, message: str = "", lease: str | None = None
    ) -> Task:
        """Complete a running task with its result.

        Args:
            task_id: the task.
            result: a JSON value.
            message: the last message; blank for the one of its kind.
            lease: the lease of the worker who completes it; None for everybody else.

        Raises:
            InvalidField, TooLarge: the result is no JSON value, or exceeds a limit.
            InvalidTransition: the task is not running.
            LeaseLost: the lease does not hold the task.
        """
        complete = self.completion(result, message=message)
        return await self.perform(task_id, lambda task: [complete(task, self.now())], lease=lease)

    async def fail(
        self, task_id: str, detail: str, *, code: str = "failed", lease: str | None = None
    ) -> Task:
        """Fail an unfinished task.

        Args:
            task_id: the task.
            detail: the reason for people, a plain sentence.
            code: the reason for programs, an identifier of 1 to 64 characters.
            lease: the lease of the worker who fails it; None for everybody else.

        Raises:
            InvalidField: the detail or the code is invalid.
            InvalidTransition: the task has ended.
            LeaseLost: the lease does not hold the task.
        """
        fail = partial(operations.fail, code=code, detail=detail)
        return await self.perform(task_id, lambda task: [fail(task, self.now())], lease=lease)

    async def report(
        self, task_id: str, report: Report, *, check: Callable[[Task], None] = lambda _: None
    ) -> Task:
        """Apply a worker's report to its task in one transaction, and renew the worker's lease.

        A task that was cancelled in the meantime is returned unchanged: the worker is to stop.

        Args:
            task_id: the task.
            report: the report.
            check: as for :meth:`.TaskEngine.perform`.

        Raises:
            InvalidField, TooLarge: a value is invalid.
            InvalidTransition: the task has ended otherwise, or its steps do not allow the report.
            LeaseLost: the lease does not hold the task.
            NotFound, Gone: as for :meth:`get`.
        """
        report.check()
        check_lease_seconds(report.lease_seconds, self.settings)
        said = report.message or ""
        ends = self.completion(report.result, message=said), self.cancellation(said)
        return await self.perform(
            task_id, lambda task: report.changes(task, self.now(), *ends), lease=report.lease, check=check
        )

    async def view(self, task_id: str) -> TaskView:
        """Return a task's current state and its position in the log.

        Raises:
            Unavailable: the task's stored events could not be published in time.
            NotFound, Gone: as for :meth:`get`.
        """
        lost: EventId | None = None
        with trio.move_on_after(_PUBLISH_WAIT_SECONDS):
            while True:
                lost_before = lost
                snapshot = await self.store.snapshot(task_id)
                position = await self._position(snapshot)
                lost = None if position is None else self.log.lost_until(position)
                if lost != lost_before:
                    continue  # the log lost events meanwhile, maybe of versions after this one
                if position is not None:
                    task = snapshot.task.with_offset(self.clock.offset())
                    message = make_snapshot(task, snapshot.text)
                    return TaskView(
                        task=task,
                        message=self.presenter.present_snapshot(task, message),
                        # Another log may have given out the position, also one whose clock was ahead.
                        position=lost or position,
                        end=self.presenter.present_end(task, snapshot.end),
                        published_id=position,
                    )
        raise Unavailable("the task's events are not published yet", retry_after_seconds=1)

    async def _position(self, snapshot: Snapshot) -> EventId | None:
        if snapshot.published_version == snapshot.task.version:
            return snapshot.published_id
        return await self.outbox.positions.position_of(snapshot.task.id, snapshot.task.version)


def _make_key(
    text: str, kind: str, owner: str, id: str | None, input: Any, others: tuple[Any, ...], *, is_private: bool
) -> IdempotencyKey:
    """Build the key of a new task.

    Args:
        text: the key of the caller.
        kind, owner: those of the task.
        id: the chosen id.
        input: the input.
        others: the other arguments, which a private kind does not take from the request.
        is_private: the kind is private, so it has keys of its own.
    """
    value = msgspec.Raw(input.text) if isinstance(input, EncodedJson) else input
    if is_private:
        return IdempotencyKey.create(text, (id, value), scope=f"{kind}/{owner}")
    return IdempotencyKey.create(text, (id, value, kind, *others), scope=f"/{owner}")


def _unpack(result: bytes) -> bytes:
    """Decompress a stored result if it is compressed: no JSON begins as zlib data does (RFC 1950)."""
    return zlib.decompress(result) if result[:1] == b"\x78" else result
