"""The handle through which work in this process reports on its task."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import cached_property, partial
from typing import Any, Final

import msgspec

from ..characters import TextKind
from . import operations
from .messages import EDUCATIONAL, PROGRESS
from .model import Change, Operation, Task
from .sentences import fit, fit_code, make_valid
from .states import StepStatus

Perform = Callable[[Operation], Awaitable[Task]]
"""Apply an operation to the one task, and return the task after it."""

_running: Final[ContextVar["Progress"]] = ContextVar("streamd_running_task")


class WorkFailed(Exception):
    """Raised by work that cannot go on; the task fails, and its followers are told the reason.

    Args:
        detail: the reason, a plain sentence; as a message of :meth:`Progress.update` it is made valid.
        code: the reason for programs; made valid as an identifier of 1 to 64 characters.
    """

    def __init__(self, detail: str, *, code: str = "failed") -> None:
        super().__init__(detail)
        self.detail = fit(detail)
        self.code = fit_code(code)


class StepFailed(WorkFailed):
    """Raised inside a step that fails alone: the work goes on after the step's block."""


class Progress:
    """The handle of one running task. Every change is stored, and every stored change is published.

    Texts of the work never fail it: messages longer than 2000 characters are shortened, and characters that a
    text may not have (:mod:`.sentences`) are replaced by question marks. Names of steps are checked.

    Args:
        task: the task.
        perform: applies an operation to it.
        now: returns steady time; called in the store's thread, too.
        raw_input: the task's input, JSON.

    Attributes:
        task: the task after the last call.
        completion_message: the message with which the task completes; blank for the one of its kind.
        raw_input: the task's input, JSON, for work that decodes a large input in a worker thread.
    """

    def __init__(
        self, task: Task, perform: Perform, now: Callable[[], datetime], raw_input: bytes = b"null"
    ) -> None:
        self.task = task
        self.completion_message = ""
        self._perform_on_task = perform
        self._now = now
        self.raw_input: Final = raw_input

    @property
    def id(self) -> str:
        """The task's id."""
        return self.task.id

    @property
    def owner(self) -> str:
        """The task's owner."""
        return self.task.owner

    def now(self) -> datetime:
        """Return the present by the clock of the task's times, which never runs backwards."""
        return max(self.task.updated_at, self.task.at(self._now()))

    @cached_property
    def input(self) -> Any:
        """The task's input, a JSON value."""
        return msgspec.json.decode(self.raw_input)

    async def update(
        self,
        *,
        progress: float | None = None,
        step: str | None = None,
        message: str | None = None,
        text: str | None = None,
        type: str = PROGRESS,
        **fields: Any,
    ) -> None:
        """Publish the progress of the work.

        Args:
            progress: 0 to 100; progress never falls, so a smaller value than before changes nothing. A value
                above 99.9 counts as 99.9, because 100 means completed.
            step: the name of what is being done, without starting a step. The message has the number of the
                step of that name; null if there is none.
            message: a sentence for people.
            text: appended to the task's text; published as ``text_delta``.
            type: ``progress``, ``educational`` or ``status``.
            fields: further fields of the message, JSON values; the newest value of each is in the snapshot.

        Raises:
            InvalidField, TooLarge: a value is invalid.
            InvalidTransition: the task has ended.
            Unavailable: the store cannot be written to.
        """
        await self._perform(
            lambda task: operations.update(
                task,
                self._now(),
                progress=progress,
                step=_plain(step, partial(fit, kind=TextKind.IDENTIFIER)),
                message=_plain(message),
                text=_plain(text, make_valid) or "",
                type=type,
                fields=fields,
            )
        )

    def complete(self, message: str) -> None:
        """Set the message with which the task completes, when its work returns the result.

        Args:
            message: a sentence for people that tells how the task ended.
        """
        self.completion_message = fit(message)

    async def educate(self, content: Any, *, message: str | None = None) -> None:
        """Publish educational content: an ``educational`` message with ``educational_content``."""
        await self.update(type=EDUCATIONAL, message=message, educational_content=content)

    @asynccontextmanager
    async def step(
        self, name: str, *, weight: float | None = None, message: str = ""
    ) -> AsyncIterator["StepProgress"]:
        """Run a step for as long as the block lasts, and publish its start, progress and end.

        An exception fails the step and propagates. :class:`StepFailed` fails the step only, and the work goes
        on after the block. A cancelled step is left running; it ends with its task.

        Args:
            name: the step's name; a step that was not planned is added.
            weight: the step's share of the task's progress; None for the planned one, or 1.
            message: the message of the step's start.

        Raises:
            InvalidTransition: the task has ended, or the step began before.
        """
        step = StepProgress(self, name)
        said = _plain(message) or ""
        await self._perform(
            lambda task: operations.start_step(task, self._now(), name, weight=weight, message=said)
        )
        try:
            yield step
        except StepFailed as failed:
            await step._end(StepStatus.FAILED, error=failed.detail)
        except WorkFailed as failed:
            await step._end(StepStatus.FAILED, error=failed.detail)
            raise
        except Exception:
            await step._end(StepStatus.FAILED, error="this step failed")
            raise
        else:
            await step._end(StepStatus.COMPLETED)

    async def _perform(self, operation: Callable[[Task], Change]) -> None:
        def perform(task: Task) -> Sequence[Change]:
            return [operation(task)]

        self.task = await self._perform_on_task(perform)


class StepProgress:
    """The handle of one running step.

    Attributes:
        name: the step's name.
        status: the step's status.
    """

    def __init__(self, progress: Progress, name: str) -> None:
        self.name: Final = name
        self.status = StepStatus.RUNNING
        self._fields: dict[str, Any] = {}
        self._progress = progress

    async def update(self, progress: float | None = None, message: str | None = None, **fields: Any) -> None:
        """Publish the progress of the step.

        Args:
            progress: 0 to 100 within the step.
            message: a sentence for people.
            fields: further fields of the message.

        Raises:
            As :meth:`Progress.update`.
        """
        await self._progress._perform(
            lambda task: operations.update_step(
                task,
                self._progress._now(),
                self.name,
                progress=progress,
                message=_plain(message),
                fields=fields,
            )
        )

    def complete(self, **fields: Any) -> None:
        """Add further fields, such as ``lineItems=7``, to the message that the block's end publishes."""
        self._fields.update(fields)

    async def skip(self, reason: str) -> None:
        """End the step as skipped, with the reason as its message. The block's end publishes nothing more."""
        await self._end(StepStatus.SKIPPED, message=reason)

    async def _end(self, status: StepStatus, *, message: str | None = None, error: str = "") -> None:
        if self.status.ended:
            return
        self.status = status
        await self._progress._perform(
            lambda task: operations.end_step(
                task,
                self._progress._now(),
                self.name,
                status,
                message=_plain(message),
                error=error,
                fields=self._fields,
            )
        )


def _plain(text: str | None, make: Callable[[str], str] = fit) -> str | None:
    """Make a text valid; anything else is left to be rejected by its field's name."""
    return make(text) if isinstance(text, str) else text


@contextmanager
def running(progress: Progress) -> Iterator[None]:
    """Let :func:`step` find this task inside the block. The runner does this around all work."""
    token = _running.set(progress)
    try:
        yield
    finally:
        _running.reset(token)


def step(
    name: str, *, weight: float | None = None, message: str = ""
) -> AbstractAsyncContextManager[StepProgress]:
    """Run a step of the task whose work calls this; see :meth:`Progress.step`.

    It needs no handle: it finds the task by a context variable, also several calls further down.

    Raises:
        RuntimeError: no task is running here.
    """
    try:
        progress = _running.get()
    except LookupError:
        raise RuntimeError("no task is running here: a step must be inside the work of a task") from None
    return progress.step(name, weight=weight, message=message)
