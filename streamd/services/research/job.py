"""The work of a session: the datasets of its area in parallel, then the conclusions from them."""

from collections.abc import Mapping, Sized
from typing import Any, Final

import attrs
import msgspec
import structlog
import trio

from ...errors import Unavailable, root_cause
from ...events import format_time
from ...json import EncodedJson
from ...tasks import Progress, StepFailed, StepProgress, WorkFailed
from .models import ResearchResult
from .query import ResearchQuery
from .rules import derive
from .settings import ResearchSettings
from .shapes import Shape
from .sources import Area, Dataset, NothingKnown, SourceFailed

# A registered function may report any text.
_MESSAGE_CHARS: Final = 500
# Part of the maximum size of a result that is kept for everything but the data.
_CONCLUSION_BYTES: Final = 65_536

_log = structlog.get_logger(__name__)


class ResearchJob:
    """The work of research tasks; one object serves any number of tasks at once.

    Args:
        areas: by their ids.
        settings: limits and timeouts.
        max_result_bytes: the maximum size of a session's result as JSON (bytes).
    """

    def __init__(self, areas: Mapping[str, Area], settings: ResearchSettings, max_result_bytes: int) -> None:
        self._areas = areas
        self._settings = settings
        self._max_data_bytes = max(max_result_bytes - _CONCLUSION_BYTES, max_result_bytes // 2)

    async def __call__(self, progress: Progress) -> EncodedJson:
        """Research the query of one session, and return the task's result.

        Cancelling closes all connections; a thread that reads a file is abandoned.

        Raises:
            WorkFailed: no dataset has data, or no source has reported anything for ``stall_seconds``.
        """
        query = msgspec.convert(progress.input, ResearchQuery)
        area = self._areas.get(query.area_id)
        if area is None:
            raise WorkFailed(f"the area {query.area_id} is not served any more", code="area-gone")
        run = SessionRun(progress, area, query, self._settings, self._max_data_bytes)
        await run.fetch_all()
        result = run.make_result()
        progress.complete(
            f"The research is complete: {_count(result.insights, 'insight')} and"
            f" {_count(result.recommendations, 'recommendation')}"
            f" from {len(result.findings)} of {_count(area.datasets, 'dataset')}"
        )
        # Every dataset is checked; those with the most levels have more in the result than a value may have.
        return EncodedJson(msgspec.json.encode(result))


@attrs.define
class SessionRun:
    """One run of a session, and the data found so far."""

    _progress: Progress
    _area: Area
    _query: ResearchQuery
    _settings: ResearchSettings
    _bytes_left: int  # of the result, for data
    _stall_scope: trio.CancelScope = attrs.field(init=False, factory=trio.CancelScope)
    _findings: dict[str, dict[str, Any]] = attrs.field(init=False, factory=dict)
    _shapes: dict[str, Shape | None] = attrs.field(init=False, factory=dict)
    _failed: dict[str, str] = attrs.field(init=False, factory=dict)

    async def fetch_all(self) -> None:
        """Fetch all datasets.

        Raises:
            WorkFailed: see :class:`ResearchJob`.
        """
        slots = trio.Semaphore(self._settings.parallel_datasets)
        self._restart_stall_timeout()
        with self._stall_scope:
            async with trio.open_nursery() as nursery:
                for dataset in self._area.datasets:
                    # Acquired here and not in the trio task, so that datasets begin in the area's order.
                    await slots.acquire()
                    nursery.start_soon(self._run_step, dataset, slots)
        if self._stall_scope.cancelled_caught:
            raise WorkFailed(
                f"no dataset has given a sign of life for {self._settings.stall_seconds:g} s", code="stalled"
            )
        if not self._findings:
            raise WorkFailed(_describe_failures(self._failed), code="all-datasets-failed")

    def make_result(self) -> ResearchResult:
        """Build the result: the findings in the area's order, and the conclusions from them."""
        titles = {dataset.name: dataset.title for dataset in self._area.datasets}
        found = {name: self._shapes[name] for name in titles if name in self._shapes}
        failed = {name: self._failed[name] for name in titles if name in self._failed}
        conclusions = derive(self._query, found, failed)
        return ResearchResult(
            research_session_id=self._progress.id,
            title=self._area.title,
            **msgspec.structs.asdict(self._query),
            time=format_time(self._progress.now()),
            findings=[self._findings[name] for name in found],
            missing=[
                {"dataset": name, "title": titles[name], "reason": reason} for name, reason in failed.items()
            ],
            insights=msgspec.to_builtins(conclusions.insights),
            recommendations=msgspec.to_builtins(conclusions.recommendations),
        )

    async def _run_step(self, dataset: Dataset, slots: trio.Semaphore) -> None:
        try:
            async with self._progress.step(dataset.name, message=f"looking for {dataset.title}") as step:
                try:
                    await self._fetch(dataset, step)
                except SourceFailed as failed:
                    self._log_failure(dataset, failed)
                    self._fail(dataset, str(failed)[:_MESSAGE_CHARS], failed)
                except Exception as error:  # noqa: BLE001 - a bug of one source must not stop the others
                    _log.error("dataset_failed", task=self._progress.id, dataset=dataset.name, exc_info=error)
                    self._fail(dataset, "something went wrong in its source", error)
        finally:
            slots.release()

    def _log_failure(self, dataset: Dataset, failed: SourceFailed) -> None:
        """Log what clients are not told: the origin of the data, and the error below the sentence."""
        if not isinstance(failed, NothingKnown):
            cause = root_cause(failed)
            _log.warning(
                "dataset_failed",
                task=self._progress.id,
                dataset=dataset.name,
                origin=dataset.source.origin,
                reason=str(failed),
                cause=None if cause is failed else repr(cause),
            )

    def _fail(self, dataset: Dataset, reason: str, error: Exception) -> None:
        self._restart_stall_timeout()
        failed = StepFailed(reason)
        self._failed[dataset.name] = failed.detail  # with valid characters only
        raise failed from error

    async def _fetch(self, dataset: Dataset, step: StepProgress) -> None:
        async def report(message: str, progress: float | None = None) -> None:
            self._restart_stall_timeout()
            try:
                await step.update(progress, message[:_MESSAGE_CHARS])
            except Unavailable as error:
                # Only the progress is lost; the data is not.
                _log.info("progress_not_stored", dataset=dataset.name, detail=error.detail)

        data, shaped = await dataset.fetch(self._query, report)
        size = len(msgspec.json.encode(data))
        if size > self._bytes_left:
            raise SourceFailed(f"its {size} bytes do not fit into the result beside the other datasets")
        self._bytes_left -= size
        self._shapes[dataset.name] = shaped
        self._findings[dataset.name] = {
            "dataset": dataset.name,
            "title": dataset.title,
            "source": {"kind": dataset.source.kind, "name": dataset.title},
            "time": format_time(self._progress.now()),
            "data": data,
        }
        await report(f"found {dataset.title}")

    def _restart_stall_timeout(self) -> None:
        self._stall_scope.deadline = trio.current_time() + self._settings.stall_seconds


def _describe_failures(failed: Mapping[str, str]) -> str:
    reasons = list(dict.fromkeys(failed.values()))
    if len(reasons) == 1:
        return f"none of the {len(failed)} datasets gave data: {reasons[0]}"
    each = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
    return f"none of the {len(failed)} datasets gave data: {each}"[:_MESSAGE_CHARS]


def _count(items: Sized, noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"
