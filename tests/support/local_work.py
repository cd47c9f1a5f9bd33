"""Work for tests of the runner, and stores that count calls or fail."""

import inspect
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import trio

from streamd.errors import Unavailable
from streamd.tasks import ClaimedTask, Kind, Progress, Status, Task
from streamd.tasks.model import Operation
from streamd.tasks.store.memory import MemoryTaskStore

Work = Callable[[Progress], Awaitable[Any]]


def local(work: Work, **fields: Any) -> Kind:
    """Make the kind ``local``, whose tasks run this work here."""
    return Kind(name="local", work=work, **fields)


async def hang(progress: Progress) -> None:
    """Work until it is cancelled."""
    await trio.sleep_forever()


def failure_of(task: Task) -> tuple[Status, str, str]:
    assert task.error is not None
    return task.status, task.error.code, task.error.detail


class CountingStore(MemoryTaskStore):
    """A store that counts its calls.

    Attributes:
        calls: the names of the methods called, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if inspect.iscoroutinefunction(value):
            self.calls.append(name)
        return value


class UnsteadyStore(MemoryTaskStore):
    """A store that fails the changes that end a task.

    Attributes:
        failures: number of such changes still to fail.
        at_claim: called with each task that was claimed.
    """

    def __init__(self, failures: int = 0) -> None:
        super().__init__()
        self.failures = failures
        self.at_claim: Callable[[Task], Awaitable[None]] | None = None

    async def change(self, task_id: str, operation: Operation) -> Task:
        def checked(task: Task) -> Any:
            changes = operation(task)
            if self.failures and changes[-1].task.status.ended:
                self.failures -= 1
                raise Unavailable("the disk is full")
            return changes

        return await super().change(task_id, checked)

    async def claim(self, kinds: Collection[str], operation: Operation) -> ClaimedTask | None:
        claimed = await super().claim(kinds, operation)
        if claimed is not None and self.at_claim is not None:
            await self.at_claim(claimed.task)
        return claimed
