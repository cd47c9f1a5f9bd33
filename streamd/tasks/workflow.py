"""Stages of the task that is running here: any stage streams by being inside one.

``async with workflow.stage("parsing", weight=3) as stage: await stage.update(30, "12 lines read")`` needs no
handle: it finds the task in whose work it stands, also several calls further down.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol

import attrs

from .model import StepStatus
from .progress import Progress, StepProgress, WorkFailed


class Listener(Protocol):
    """Hears of the stages of a task, beside the task's own followers."""

    async def stage_started(self, stage: str, message: str) -> None: ...

    async def stage_progress(self, stage: str, progress: float, message: str) -> None: ...

    async def stage_completed(self, stage: str, fields: dict[str, Any]) -> None: ...

    async def stage_failed(self, stage: str, error: str) -> None: ...


@attrs.frozen
class _Running:
    progress: Progress
    listeners: tuple[Listener, ...] = ()


_running: Final[ContextVar[_Running]] = ContextVar("streamd_workflow")


class Stage:
    """What a stage's block is given."""

    def __init__(self, step: StepProgress, listeners: tuple[Listener, ...]) -> None:
        self._step = step
        self._listeners = listeners
        self._reached = 0.0

    @property
    def name(self) -> str:
        return self._step.name

    async def update(self, progress: float | None = None, message: str = "", **fields: Any) -> None:
        """Say how far the stage is: 0 to 100 within it, and a sentence about it."""
        await self._step.update(progress, message or None, **fields)
        self._reached = max(self._reached, progress or 0.0)
        for listener in self._listeners:
            await listener.stage_progress(self.name, self._reached, message)

    def complete(self, **fields: Any) -> None:
        """Further fields for the message that tells of the stage's end, such as ``lineItems=7``."""
        self._step.fields.update(fields)

    async def skip(self, reason: str) -> None:
        """The stage is not needed, for a reason that is said."""
        await self._step.skip(reason)
        self._step.fields["skipped"] = reason


@contextmanager
def running(progress: Progress) -> Iterator[None]:
    """Let stages within the block belong to a task; the runner does this around all work."""
    token = _running.set(_Running(progress))
    try:
        yield
    finally:
        _running.reset(token)


@contextmanager
def listen(listener: Listener) -> Iterator[None]:
    """Tell a listener of all stages within the block."""
    here = _here()
    token = _running.set(attrs.evolve(here, listeners=(*here.listeners, listener)))
    try:
        yield
    finally:
        _running.reset(token)


@asynccontextmanager
async def stage(name: str, *, weight: float | None = None, message: str = "") -> AsyncIterator[Stage]:
    """A stage that lasts as long as the block; its start, progress and completion or error are published.

    Args:
        name: of the stage.
        weight: its share of the task's progress; None for what was planned, else 1.
        message: what is said at its start.

    Raises:
        RuntimeError: no task is running here.
    """
    here = _here()
    async with here.progress.step(name, weight=weight, message=message) as step:
        for listener in here.listeners:
            await listener.stage_started(name, message)
        try:
            yield Stage(step, here.listeners)
        except Exception as error:
            said = error.detail if isinstance(error, WorkFailed) else "this stage failed"
            for listener in here.listeners:
                await listener.stage_failed(name, said)
            raise
        for listener in here.listeners:
            await listener.stage_completed(name, step.fields)


def _here() -> _Running:
    try:
        return _running.get()
    except LookupError:
        raise RuntimeError("no task is running here: stages belong into the work of a task") from None


__all__ = ["Listener", "Stage", "StepStatus", "listen", "running", "stage"]
