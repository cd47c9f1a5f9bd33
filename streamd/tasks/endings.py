"""The calls of :attr:`.kinds.Kind.ended`: at least one for each task that ends, whatever fails meanwhile."""

from collections import deque
from collections.abc import Mapping
from typing import Final, NoReturn

import structlog
import trio

from ..errors import StreamdError, Unreadable
from .kinds import Kind
from .metrics import TaskMetrics
from .store.port import TaskStore

_CALLS_MAX: Final = 16  # of one kind at once: a few slow ones do not delay the others
_CALL_TIMEOUT_SECONDS: Final = 60.0  # a call that hangs must not hold a slot for ever
_FIRST_RETRY_SECONDS: Final = 0.1
_LAST_RETRY_SECONDS: Final = 30.0

_log = structlog.get_logger(__name__)


class TaskEndings:
    """The tasks whose last event is in the log and whose kind has yet to act on the end.

    The last row of such a task stays in the outbox until the call has succeeded. A failed call is repeated
    with exponential backoff; it delays neither other tasks nor the publisher.

    Args:
        store: the store with the outbox.
        kinds: the registered kinds, by name.
        metrics: the counters.
    """

    def __init__(self, store: TaskStore, kinds: Mapping[str, Kind], metrics: TaskMetrics) -> None:
        self._store = store
        self._kinds = kinds
        self._metrics = metrics
        self._begun: deque[str] = deque()
        self._wanted = trio.Event()
        self._limiters: dict[str, trio.CapacityLimiter] = {}  # by kind, so that no kind delays another

    def concern(self, kind: str) -> bool:
        """Return True if a kind acts on the end of its tasks."""
        known = self._kinds.get(kind)
        return known is not None and known.ended is not None

    def begin(self, task_id: str) -> None:
        """Call the kind of a task whose last row is published and kept."""
        self._begun.append(task_id)
        self._wanted.set()

    async def run(self) -> NoReturn:
        """Call kinds until cancelled. A call that is cancelled is repeated by the next run."""
        self._begun.clear()
        async with trio.open_nursery() as nursery:
            await self._resume()
            while True:
                while self._begun:
                    nursery.start_soon(self._end, self._begun.popleft())
                self._wanted = trio.Event()
                await self._wanted.wait()
        raise AssertionError("the endings run until they are cancelled")

    async def _resume(self) -> None:
        """Continue with the tasks that a run before this one left."""
        retry_seconds = _FIRST_RETRY_SECONDS
        while True:
            try:
                ending = await self._store.ending()
            except Exception:  # noqa: BLE001 - the store may be back the next time
                _log.exception("task_endings_delayed", retry_seconds=retry_seconds)
                await trio.sleep(retry_seconds)
                retry_seconds = min(2 * retry_seconds, _LAST_RETRY_SECONDS)
            else:
                begun = set(self._begun)
                self._begun.extendleft(task_id for task_id in reversed(ending) if task_id not in begun)
                return

    async def _end(self, task_id: str) -> None:
        retry_seconds = _FIRST_RETRY_SECONDS
        while True:
            try:
                await self._call(task_id)
                await self._store.mark_ended(task_id)
            except Exception as error:  # noqa: BLE001 - no failure of a kind may stop other tasks
                self._metrics.ending_failures.inc()
                first = retry_seconds == _FIRST_RETRY_SECONDS  # one traceback for each task is enough
                _log.warning(
                    "task_ending_failed",
                    task=task_id,
                    error=repr(error),
                    retry_seconds=retry_seconds,
                    exc_info=first and not isinstance(error, StreamdError | trio.TooSlowError),
                )
                await trio.sleep(retry_seconds)
                retry_seconds = min(2 * retry_seconds, _LAST_RETRY_SECONDS)
            else:
                self._metrics.outbox_depth.dec()
                return

    async def _call(self, task_id: str) -> None:
        try:
            task = await self._store.get(task_id)
        except Unreadable:
            return  # it stays so, and nothing tells its kind
        known = self._kinds.get(task.kind)
        if known is None or known.ended is None:
            return  # the kind no longer acts on it
        limiter = self._limiters.setdefault(task.kind, trio.CapacityLimiter(_CALLS_MAX))
        async with limiter:
            with trio.fail_after(_CALL_TIMEOUT_SECONDS):
                await known.ended(task)
