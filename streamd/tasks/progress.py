"""The handle by which work in this process says how far it is."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs

from . import operations
from .messages import EDUCATIONAL, PROGRESS
from .model import Change, StepStatus, Task

if TYPE_CHECKING:
    from .tasks import Tasks


class WorkFailed(Exception):
    """Raised by work that cannot go on, with what its followers are told.

    Args:
        detail: a plain sentence.
        code: for programs.
    """

    def __init__(self, detail: str, *, code: str = "failed") -> None:
        super().__init__(detail)
        self.detail = operations.fit(detail)
        self.code = code


class StepFailed(WorkFailed):
    """Raised inside a step that fails while the work goes on."""


class Progress:
    """What a task's work is given. Every call stores, and what is stored is published.

    Attributes:
        task: as it was after the last call.
    """

    def __init__(self, tasks: "Tasks", task: Task) -> None:
        self.task = task
        self._tasks = tasks
        self._lease = task.lease
        self._raw_input = task.raw_input

    @property
    def id(self) -> str:
        return self.task.id

    @property
    def owner(self) -> str:
        return self.task.owner

    @property
    def input(self) -> Any:
        """What the task was made with, as a JSON value."""
        return self.task.input

    async def update(
        self,
        *,
        progress: float | None = None,
        stage: str | None = None,
        message: str | None = None,
        text: str | None = None,
        type: str = PROGRESS,
        **fields: Any,
    ) -> None:
        """Say how far the work is.

        Args:
            progress: 0 to 100; a smaller figure than before is taken for "still there".
            stage: what is being done.
            message: a sentence about it.
            text: appended to the task's text; goes out as ``text_delta``.
            type: ``progress``, ``educational`` or ``status``.
            fields: further fields of the message, JSON values; the newest of each is in the snapshot.

        Raises:
            InvalidField, TooLarge: a value cannot be accepted.
            InvalidTransition: the task has ended.
            Unavailable: the store does not take it just now.
        """
        await self._perform(
            lambda task: operations.update(
                task,
                self._tasks.now(),
                progress=progress,
                stage=stage,
                message=message,
                text=text or "",
                type=type,
                fields=fields,
            )
        )

    async def educate(self, content: Any, *, message: str | None = None) -> None:
        """Give those who wait something to read: an ``educational`` message with ``educational_content``."""
        await self.update(type=EDUCATIONAL, message=message, educational_content=content)

    @asynccontextmanager
    async def step(
        self, name: str, *, weight: float | None = None, message: str = ""
    ) -> AsyncIterator["StepProgress"]:
        """A step that lasts as long as the block: its start, progress and end are published.

        An exception fails the step and goes on up; :class:`StepFailed` fails the step, and the work goes on
        behind the block. When the block is cancelled, the task is ending, and its end says so.

        Args:
            name: of the step; one that was not planned is added.
            weight: its share of the task's progress; None for what was planned, else 1.
            message: what is said at its start.
        """
        step = StepProgress(self, name)
        await self._perform(
            lambda task: operations.start_step(task, self._tasks.now(), name, weight=weight, message=message)
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
        task = await self._tasks.perform(self.id, lambda task: [operation(task)], lease=self._lease)
        self.task = attrs.evolve(task, raw_input=self._raw_input)


class StepProgress:
    """What a step's block is given.

    Attributes:
        name: of the step.
        status: where it stands.
        fields: further fields for the message of its completion.
    """

    def __init__(self, progress: Progress, name: str) -> None:
        self.name = name
        self.status = StepStatus.RUNNING
        self.fields: dict[str, Any] = {}
        self._progress = progress

    async def update(self, progress: float | None = None, message: str | None = None, **fields: Any) -> None:
        """Say how far the step is.

        Args:
            progress: 0 to 100 within the step.
            message: a sentence about it.
            fields: further fields of the message.

        Raises:
            As :meth:`Progress.update`.
        """
        await self._progress._perform(
            lambda task: operations.update_step(
                task,
                self._progress._tasks.now(),
                self.name,
                progress=progress,
                message=message,
                fields=fields,
            )
        )

    async def skip(self, reason: str) -> None:
        """The step is not needed, for a reason that is said; the block's end says nothing more of it."""
        await self._end(StepStatus.SKIPPED, message=reason)

    async def _end(self, status: StepStatus, *, message: str | None = None, error: str = "") -> None:
        if self.status.ended:
            return
        self.status = status
        await self._progress._perform(
            lambda task: operations.end_step(
                task,
                self._progress._tasks.now(),
                self.name,
                status,
                message=message,
                error=error,
                fields=self.fields,
            )
        )
