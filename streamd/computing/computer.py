"""A computer of texts: small ones by turns in a thread, large ones in a worker process."""

from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple

from ..steps import Steps
from ..turns import Turns
from .processes import WorkerProcesses

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# A text of this size takes some 20 ms to read, or 100 ms if it was made to: some turns.
LARGE_BYTES: Final = 16_384


class Computer:
    """Computations on texts of one kind.

    Args:
        kind: the name of the kind, which has a queue of its own.
        processes: the worker processes; None for none.
        turns: the threads; defaults to a thread of its own.
    """

    def __init__(
        self, kind: str, processes: WorkerProcesses | None = None, turns: Turns | None = None
    ) -> None:
        self._kind: Final = kind
        self._processes: Final = processes
        self._turns: Final = turns or Turns()

    def has_process_for(self, size: int) -> bool:
        """Return True if a text of a size (bytes or characters) is large, and there are worker processes."""
        return size >= LARGE_BYTES and self._processes is not None and self._processes.are_running

    async def run(self, size: int, computation: Callable[[*Ts], Steps[T]], *args: *Ts) -> T:
        """Run a computation on a text to its end, and return its result or raise its error.

        Args:
            size: length of the text (bytes or characters).
            computation: a function of a module, which a worker process imports.
            args: its arguments.

        Cancelling ends the computation after the present turn, or ends its process.

        Raises:
            TooLarge, Unavailable: see :meth:`.processes.WorkerProcesses.run`.
        """
        if self._processes is not None and self.has_process_for(size):
            return await self._processes.run(self._kind, "body", computation, *args)
        return await self._turns.run(computation(*args))
