"""Tasks as programs use them: create, follow, end; whoever works on one goes through here, too."""

import re
import secrets
import time
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import attrs
import msgspec
import structlog
import trio

from ..config import EventSettings, TaskSettings
from ..errors import InvalidField, LeaseLost, NoResult, NotFound, NotReady, TooLarge, Unavailable
from ..events import EventId
from ..hub import Hub
from . import operations
from .kinds import Kind
from .messages import make_snapshot, standard
from .metrics import TaskMetrics
from .model import Change, Message, Status, StepPlan, Task
from .operations import Operation
from .outbox import OutboxPublisher
from .port import Bounds, Snapshot, TaskStore

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
_KIND: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OWNER_CHARS_MAX: Final = 256
_POLL_AGAIN_SECONDS: Final = 2.0  # what one is told who asks for a result that is not there yet

LOCAL: Final = "local:"
"""How the names of workers in this process begin; nobody else's may."""

_log = structlog.get_logger(__name__)


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


@attrs.frozen(kw_only=True)
class View:
    """A task as a new stream shows it first."""

    task: Task
    message: Message  # its present state
    place: EventId  # where the log goes on: what comes after it is not in the message yet
    end: Message | None  # its last message, if it has ended
    published_id: EventId  # the event of its version, which may be of a log that is gone


class Tasks:
    """The tasks of one server.

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
        self._hub = hub
        self._offered = trio.Event()  # set when there is a task to claim

    def register(self, kind: Kind) -> None:
        """Make a kind of work known; before the server runs."""
        if not _KIND.fullmatch(kind.name):
            raise ValueError(f"{kind.name!r} cannot be a kind: letters, digits and . _ - only")
        if kind.name in self.kinds:
            raise ValueError(f"there is a kind {kind.name!r} already")
        self.kinds[kind.name] = kind

    # --- for whoever wants work done ------------------------------------------------------------

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
    ) -> Task:
        """Make a task. One of a kind that works here begins by itself.

        Args:
            kind: what sort of work it is.
            id: chosen by the caller; made up when left out.
            owner: whose it is.
            input: what the work needs to know, a JSON value.
            steps: those that are known beforehand, with their weights.
            timeout_seconds: how long it may take in all (s).
            message: what is said first.
            worker: who works on it from the beginning, and reports by its lease.
            lease_seconds: how long that worker may say nothing (s).

        Raises:
            InvalidField, TooLarge: a value cannot be accepted.
            TaskExists: the id is taken.
            Unavailable: too many of this kind wait or run.
        """
        known = self.kinds.get(kind)
        if not _KIND.fullmatch(kind):
            raise InvalidField("kind must be 1 to 64 letters, digits, dots, dashes", field="kind")
        if worker is not None and known is not None and known.work is not None:
            raise InvalidField(f"tasks of kind {kind!r} are worked on by the server itself", field="worker")
        if timeout_seconds is None:
            timeout_seconds = (known and known.timeout_seconds) or self.settings.timeout_seconds
        elif not 0 < timeout_seconds <= self.settings.max_timeout_seconds:
            raise InvalidField(
                f"timeout_seconds must be more than 0 and at most {self.settings.max_timeout_seconds:g}",
                field="timeout_seconds",
            )
        change = operations.create(
            id=_check_id(id) if id is not None else secrets.token_hex(12),
            kind=kind,
            now=self.now(),
            timeout_seconds=timeout_seconds,
            owner=_check_owner(owner),
            message=message,
            steps=_check_steps(steps, self.settings.max_steps),
            raw_input=self._encode(input, "input", self.settings.max_input_bytes),
        )
        changes = [change]
        if worker is not None:
            changes.append(
                operations.start(change.task, self.now(), **self._new_lease(worker, lease_seconds))
            )
        max_unfinished = (known and known.max_kept) or self.settings.max_per_kind
        began = time.perf_counter()
        changes = [self._present(change) for change in changes]
        await self.store.create(changes, max_unfinished=max_unfinished)
        self.metrics.store_seconds.observe(time.perf_counter() - began)
        self.outbox.forget(change.task.id)
        self._note(None, changes)
        if worker is None:
            self._offered.set()
        return changes[-1].task

    async def get(self, task_id: str, *, kind: str | None = None) -> Task:
        """A task as it is now.

        Raises:
            NotFound: there is none, or it is of another kind.
            Gone: it is not kept any more.
        """
        task = await self.store.get(task_id)
        if kind not in (None, task.kind):
            raise NotFound(f"there is no {kind} {task_id[:128]!r}", field="id")
        return task

    async def list(
        self,
        *,
        kind: str | None = None,
        status: Status | None = None,
        owner: str | None = None,
        limit: int = 100,
    ) -> list[Task]:
        """Tasks, the newest first, without their input."""
        return await self.store.find(kind=kind, status=status, owner=owner, limit=limit)

    async def result(self, task_id: str, *, kind: str | None = None) -> Any:
        """What the work came to, a JSON value.

        Raises:
            NotReady: it has not ended.
            NoResult: it failed, or was cancelled.
            NotFound, Gone: as for :meth:`get`.
        """
        task = await self.get(task_id, kind=kind)
        if not task.status.ended:
            raise NotReady(
                f"the task is {task.status.value}; there is no result yet",
                retry_after_seconds=_POLL_AGAIN_SECONDS,
            )
        if task.status is not Status.COMPLETED:
            why = f": {task.error.detail}" if task.error else ""
            raise NoResult(f"the task {_ENDED_AS[task.status]}{why}")
        result = await self.store.result(task_id)
        assert result is not None
        return msgspec.json.decode(_unpack(result))

    async def text(self, task_id: str) -> str:
        """All that the task has streamed as text so far."""
        return (await self.store.snapshot(task_id)).text

    async def cancel(self, task_id: str, *, message: str = "") -> Task:
        """End a task that nobody wants any more; its worker is told.

        Raises:
            InvalidTransition: it has ended already.
        """
        return await self.perform(task_id, lambda task: [operations.cancel(task, self.now(), detail=message)])

    # --- for whoever works on one ---------------------------------------------------------------

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
        self.check_lease_seconds(lease_seconds)
        if not worker.startswith(LOCAL):
            for name in kinds:
                if (known := self.kinds.get(name)) is not None and known.work is not None:
                    raise InvalidField(
                        f"tasks of kind {name!r} are worked on by the server itself", field="kinds"
                    )
        claimed: list[Change] = []

        def take(task: Task) -> Sequence[Change]:
            lease = self._new_lease(worker, lease_seconds)
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
                raise LeaseLost("another worker has this task", field="lease")
            before[:] = [task.status]
            made[:] = [self._present(change) for change in operation(task)]
            if made:
                self._check_size(made[-1].task)
            return made

        began = time.perf_counter()
        task = await self.store.change(task_id, checked)
        self.metrics.store_seconds.observe(time.perf_counter() - began)
        self._note(before[0], made)
        return task

    async def complete(
        self, task_id: str, result: Any, *, message: str | None = None, lease: str | None = None
    ) -> Task:
        """End a task with its result, a JSON value.

        Raises:
            InvalidField, TooLarge: the result cannot be one.
            InvalidTransition: the task is not running.
        """
        task = await self.store.get(task_id)
        change = self.completion(task.kind, result, message=message)
        return await self.perform(task_id, lambda task: [change(task)], lease=lease)

    def completion(self, kind: str, result: Any, *, message: str | None = None) -> Callable[[Task], Change]:
        """What completes a task of a kind with a result; for :meth:`perform`."""
        raw = self._encode(result, "result", self.settings.max_result_bytes)
        known = self.kinds.get(kind)
        compress = known.compress_results if known is not None else None
        if compress is None:
            compress = self.settings.compress_results
        shown = msgspec.json.decode(raw) if len(raw) <= self.settings.max_event_result_bytes else None
        stored = zlib.compress(raw) if compress else raw

        def complete(task: Task) -> Change:
            return operations.complete(task, self.now(), result=stored, message=message, shown_result=shown)

        return complete

    async def fail(
        self, task_id: str, detail: str, *, code: str = "failed", lease: str | None = None
    ) -> Task:
        """End a task that cannot be done; ``detail`` is a plain sentence for its followers.

        Raises:
            InvalidTransition: it has ended already.
        """
        fail = partial(operations.fail, code=code, detail=detail)
        return await self.perform(task_id, lambda task: [fail(task, self.now())], lease=lease)

    # --- for whoever follows one ----------------------------------------------------------------

    async def view(self, task_id: str) -> View:
        """A task's present state, and its place in the log.

        Raises:
            Unavailable: what is stored of it could not be published in time.
            NotFound, Gone: as for :meth:`get`.
        """
        with trio.move_on_after(self.settings.publish_wait_seconds):
            while True:
                snapshot = await self.store.snapshot(task_id)
                place = await self._place(snapshot)
                if place is not None:
                    task = snapshot.task
                    message = make_snapshot(task, snapshot.text)
                    log = self._hub.log
                    # The place may be of a log that is gone, also of one whose clock was ahead of ours.
                    return View(
                        task=task,
                        message=self.present(task, message),
                        place=place if log.epoch <= place <= log.head else log.epoch,
                        end=snapshot.end,
                        published_id=place,
                    )
        raise Unavailable("the task's events are not published yet", retry_after_seconds=1)

    async def _place(self, snapshot: Snapshot) -> EventId | None:
        if snapshot.published_version == snapshot.task.version:
            return snapshot.published_id
        return await self.outbox.place_of(snapshot.task.id, snapshot.task.version)

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

    # --- parts ----------------------------------------------------------------------------------

    def bounds(self) -> tuple[Mapping[str, Bounds], Bounds]:
        """How long and how many tasks are kept: by kind, and for all other kinds."""
        settings = self.settings
        default = Bounds(settings.keep_seconds, settings.max_per_kind)
        by_kind = {
            kind.name: Bounds(kind.keep_seconds or default.keep_seconds, kind.max_kept or default.max_kept)
            for kind in self.kinds.values()
        }
        return by_kind, default

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

    def check_lease_seconds(self, asked: float | None) -> float:
        """How long a worker may say nothing (s): what it asked for, or ``tasks.lease_seconds``.

        Raises:
            InvalidField: that is out of bounds.
        """
        if asked is None:
            return self.settings.lease_seconds
        if not 0 < asked <= self.settings.max_lease_seconds:
            raise InvalidField(
                f"lease_seconds must be more than 0 and at most {self.settings.max_lease_seconds:g}",
                field="lease_seconds",
            )
        return asked

    def _new_lease(self, worker: str, lease_seconds: float | None) -> dict[str, Any]:
        return {
            "worker": worker,
            "lease": secrets.token_urlsafe(18),
            "lease_seconds": self.check_lease_seconds(lease_seconds),
        }

    def _encode(self, value: Any, field: str, max_bytes: int) -> bytes:
        try:
            raw = msgspec.json.encode(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidField(f"{field} must be a JSON value: {error}", field=field) from error
        if len(raw) > max_bytes:
            raise TooLarge(f"{field} may have at most {max_bytes} bytes as JSON", field=field)
        return raw

    def _check_size(self, task: Task) -> None:
        settings = self.settings
        if task.text_bytes > settings.max_text_bytes:
            raise TooLarge(f"a task may stream at most {settings.max_text_bytes} bytes of text", field="text")
        if len(task.steps) > settings.max_steps:
            raise TooLarge(f"a task may have at most {settings.max_steps} steps", field="step")
        self._encode(task.details, "fields", settings.max_details_bytes)


_ENDED_AS: Final = {Status.FAILED: "failed", Status.CANCELLED: "was cancelled"}


def _unpack(result: bytes) -> bytes:
    """A result as it was, whether it was compressed or not: no JSON begins as zlib does (RFC 1950)."""
    return zlib.decompress(result) if result[:1] == b"\x78" else result


def _check_id(id: str) -> str:
    if not _ID.fullmatch(id):
        raise InvalidField(
            "a task's id is 1 to 128 letters, digits, dots, dashes, underscores or tildes, and begins with a"
            " letter or a digit",
            field="id",
        )
    return id


def _check_owner(owner: str) -> str:
    if len(owner) > _OWNER_CHARS_MAX or not owner.isprintable():
        raise InvalidField(
            f"owner must be printable text of at most {_OWNER_CHARS_MAX} characters", field="owner"
        )
    return owner


def _check_steps(steps: Sequence[StepPlan], most: int) -> Sequence[StepPlan]:
    if len(steps) > most:
        raise TooLarge(f"a task may have at most {most} steps", field="steps")
    names = [step.name for step in steps]
    for index, name in enumerate(names):
        if not name or not name.isprintable():
            raise InvalidField("a step needs a name of printable text", field=f"steps[{index}].name")
        if operations.fit(name) != name:
            raise InvalidField("the name of a step is too long", field=f"steps[{index}].name")
        if name in names[:index]:
            raise InvalidField(f"two steps are called {name!r}", field=f"steps[{index}].name")
    return steps


def deadline_sentence(task: Task) -> str:
    """What is said of a task that did not end in time."""
    seconds = (task.deadline - task.created_at) / timedelta(seconds=1)
    return f"it took longer than the {seconds:g} s that it may take"
