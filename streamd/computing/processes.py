"""Worker processes: a few, started when there is a large computation, with limits on time and memory.

::

    run - queue of the kind - a process of the pool - result or error, pickled
             full: Unavailable        |
                                      + its computing time is up, or its memory: TooLarge
                                      + it was killed: once more in another process, then Unavailable

trio-parallel starts the processes (``spawn``, so they have none of the server's descriptors and memory) and
hands over the computations. With the first one, ``multiprocessing`` starts a process of its own, the resource
tracker. A worker process also imports the program's main module, under another name: a program that serves
an application with services by itself needs the usual ``if __name__ == "__main__"``. Without it, the process
says so and ends, see :func:`.child.check_main`. A daemon of ``multiprocessing``, as each worker of the
command ``hypercorn`` is, may start no processes: its threads compute.
"""

from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from multiprocessing import current_process
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, TypeVarTuple

import attrs
import structlog
import trio

from ..errors import TooLarge, Unavailable
from ..steps import Steps
from . import child
from .settings import ComputingSettings

if TYPE_CHECKING:
    from trio_parallel import WorkerContext  # type: ignore[import-untyped]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_IDLE_SECONDS: Final = 60.0  # a process takes 0.3 s to start, and 30 MB while it is idle
_GRACE_SECONDS: Final = 5.0  # until an idle process that does not end is killed
_ATTEMPTS: Final = 2  # a process may be killed for another's fault, but hardly twice
_RETRY_SECONDS: Final = 5.0  # Retry-After
# A larger outcome, such as an order of hundreds of lines, takes some milliseconds to unpickle.
_SMALL_BYTES: Final = 65_536

_log = structlog.get_logger(__name__)


@attrs.define(eq=False)
class _Lane:
    """The computations of one kind.

    Attributes:
        slots: the processes that they may take at once.
        waiting: number of those that wait for a process.
    """

    slots: trio.CapacityLimiter
    waiting: int = 0


class WorkerProcesses:
    """Worker processes for large computations.

    Computations of one kind never take all processes, if there are several, and wait in a queue of their own.
    So a flood of one kind delays another kind by one computation at most.

    Args:
        settings: their number and limits.
    """

    def __init__(self, settings: ComputingSettings) -> None:
        self._settings: Final = settings
        self._slots: Final = trio.CapacityLimiter(max(1, settings.processes))
        self._lanes: Final[dict[str, _Lane]] = {}
        self._opening: Final = trio.Lock()
        self._unpacking: Final = trio.CapacityLimiter(1)  # threads
        self._context: WorkerContext | None = None
        self._has_started = False  # a process, so that others will start, too
        self._opened: AsyncExitStack | None = None  # what serve() closes

    @property
    def are_running(self) -> bool:
        """True while computations are taken: the server runs, and may have such processes."""
        may_start = self._settings.processes > 0 and not current_process().daemon
        return self._opened is not None and may_start

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Take computations until cancelled, then end the processes.

        Raises:
            RuntimeError: this is a worker process, which imports the program's main module.
        """
        child.check_main()
        opened = self._opened = AsyncExitStack()
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            self._opened, context, self._context = None, self._context, None
            if context is not None:
                await _close(opened)

    async def run(self, kind: str, field: str, computation: Callable[[*Ts], Steps[T]], *args: *Ts) -> T:
        """Run a computation in a worker process, and return its result or raise its error.

        Cancelling ends the process.

        Args:
            kind: the kind of the computation.
            field: the name of the text in errors.
            computation: a function of a module, which the process imports.
            args: its arguments, pickled as the result is.

        Raises:
            TooLarge: the computation takes too long, or too much memory.
            Unavailable: too many computations of the kind wait, or the process was killed.
        """
        lane = self._lanes.get(kind)
        if lane is None:
            most = max(1, self._settings.processes - 1)
            lane = self._lanes[kind] = _Lane(trio.CapacityLimiter(most))
        await self._wait_in(lane)
        try:
            return await self._run(field, computation, args)
        finally:
            lane.slots.release()

    async def _wait_in(self, lane: _Lane) -> None:
        try:
            lane.slots.acquire_nowait()
        except trio.WouldBlock:
            if lane.waiting >= self._settings.max_waiting:
                raise Unavailable(
                    "too many large texts are being read; retry later", retry_after_seconds=_RETRY_SECONDS
                ) from None
            lane.waiting += 1
            try:
                await lane.slots.acquire()
            finally:
                lane.waiting -= 1

    async def _run(self, field: str, computation: Callable[[*Ts], Steps[T]], args: tuple[*Ts]) -> T:
        settings = self._settings
        for _ in range(_ATTEMPTS):
            try:
                context = await self._open()
            except trio.ClosedResourceError:
                break
            from trio_parallel import BrokenWorkerError  # imported by _open(), in a thread

            try:
                outcome = await context.run_sync(
                    child.compute,
                    settings.max_cpu_seconds,
                    computation,
                    args,
                    kill_on_cancel=True,
                    limiter=self._slots,
                )
            except trio.ClosedResourceError:
                break
            except BrokenWorkerError as error:
                status = error.args[-1].exitcode
                if status == -child.TIME_IS_UP:
                    raise TooLarge(
                        f"reading the {field} takes more than {settings.max_cpu_seconds:g} s of computing",
                        field=field,
                    ) from error
                _log.warning("worker_process_died", status=status)
            else:
                result, failure = await self._unpack(outcome)
                if isinstance(failure, MemoryError):
                    raise TooLarge(
                        f"reading the {field} takes more than {settings.max_memory_bytes >> 20} MB of memory",
                        field=field,
                    )
                if failure is None:
                    return result  # type: ignore[no-any-return]  # it is this computation's
                try:
                    raise failure
                finally:
                    del failure  # which refers to this frame
        raise Unavailable("the text cannot be read now; retry later", retry_after_seconds=_RETRY_SECONDS)

    async def _unpack(self, outcome: bytes) -> tuple[Any, Exception | None]:
        if len(outcome) <= _SMALL_BYTES:
            return child.unpack(outcome)
        return await trio.to_thread.run_sync(child.unpack, outcome, limiter=self._unpacking)

    async def _open(self) -> "WorkerContext":
        """Return the pool, which starts processes when it needs them.

        Raises:
            trio.ClosedResourceError: the server stops, or no process starts.
        """
        async with self._opening:
            if self._context is None:
                trio_parallel = await trio.to_thread.run_sync(import_module, "trio_parallel")
                if self._opened is None:
                    raise trio.ClosedResourceError
                limit = self._settings.max_memory_bytes
                self._context = await self._opened.enter_async_context(
                    trio_parallel.open_worker_context(
                        idle_timeout=_IDLE_SECONDS,
                        init=partial(child.begin, limit),
                        retire=partial(child.is_large, limit),
                        grace_period=_GRACE_SECONDS,
                        worker_type=trio_parallel.WorkerType.SPAWN,
                    )
                )
            if not self._has_started:
                await self._start(self._context)
            return self._context

    async def _start(self, context: "WorkerContext") -> None:
        """Start a first process with a small computation.

        trio-parallel takes a process that ends before it has read its computation for one that was idle, and
        starts others for ever. A small one fits into the pipe, so that the end of its process is an error.
        """
        from trio_parallel import BrokenWorkerError

        try:
            await context.run_sync(child.check_main, kill_on_cancel=True, limiter=self._slots)
        except BrokenWorkerError as error:
            _log.error("worker_process_not_started", status=error.args[-1].exitcode)
            raise trio.ClosedResourceError from error
        self._has_started = True


async def _close(opened: AsyncExitStack) -> None:
    from trio_parallel import BrokenWorkerError

    try:
        await opened.aclose()
    except BrokenWorkerError as error:  # an idle process had been killed: no reason to fail now
        _log.warning("worker_processes_died", statuses=[process.exitcode for process in error.args[1:]])
