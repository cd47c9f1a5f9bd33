"""The work of a session: its area's datasets side by side, then what follows from them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import structlog
import trio

from ...errors import Unavailable
from ...events.control import format_time
from ...tasks import Progress, StepFailed, StepProgress, WorkFailed
from .endpoints import Endpoints
from .models import Finding, Missing, SourceView
from .query import StartResearch
from .reader import fetch
from .rules import derive
from .settings import ResearchSettings
from .shapes import Shape
from .sources import Area, Dataset, SourceFailed
from .templates import Query

ALL_FAILED: Final = "all-datasets-failed"
STALLED: Final = "stalled"
AREA_GONE: Final = "area-gone"

_MESSAGE_CHARS: Final = 500  # of what a source says; a registered function may say anything
_CONCLUSION_BYTES: Final = 65_536  # of the result are kept for what is not data

_log = structlog.get_logger(__name__)


class Research:
    """Works on sessions.

    Args:
        areas: by their ids.
        settings: bounds.
        max_result_bytes: of the result of a session, as JSON (bytes).
    """

    def __init__(self, areas: Mapping[str, Area], settings: ResearchSettings, max_result_bytes: int) -> None:
        self.areas: Final = areas
        self._settings = settings
        self._room = max(max_result_bytes - _CONCLUSION_BYTES, max_result_bytes // 2)
        self._endpoints = Endpoints()

    async def work(self, progress: Progress) -> dict[str, Any]:
        """Find out what one session asks for; the result of its task.

        Cancelled, no connection stays open; a file that is being read is let go of by its thread.

        Raises:
            WorkFailed: no dataset gave data, or none has given a sign of life for ``stall_seconds``.
        """
        asked = msgspec.convert(progress.input, StartResearch)
        area = self.areas.get(asked.areaId)
        if area is None:
            raise WorkFailed(f"the area {asked.areaId} is not served any more", code=AREA_GONE)
        query = Query(asked.areaId, asked.companyId, asked.userRole, asked.userCompany)
        session = _Session(progress, query, self._settings, self._endpoints, self._room)
        await session.run(area)
        result = session.result(area)
        insights, advice = len(result["insights"]), len(result["recommendations"])
        found = f"{len(result['findings'])} of {len(area.datasets)} datasets"
        await progress.update(message=f"{insights} insights and {advice} recommendations from {found}")
        return result


class _Session:
    """What one session has found so far."""

    def __init__(
        self,
        progress: Progress,
        query: Query,
        settings: ResearchSettings,
        endpoints: Endpoints,
        room: int,
    ) -> None:
        self._progress = progress
        self._query = query
        self._endpoints = endpoints
        self._room = room  # bytes of data that the result still has
        self._stall_seconds = settings.stall_seconds
        self._places = trio.Semaphore(settings.parallel_datasets)
        self._alive = trio.CancelScope()
        self._findings: dict[str, Finding] = {}
        self._shapes: dict[str, Shape | None] = {}
        self._failed: dict[str, str] = {}

    async def run(self, area: Area) -> None:
        """Fetch all datasets.

        Raises:
            WorkFailed: see :meth:`Research.work`.
        """
        self._sign_of_life()
        with self._alive:
            async with trio.open_nursery() as nursery:
                for dataset in area.datasets:
                    # Here and not in the task, so that they begin in the area's order.
                    await self._places.acquire()
                    nursery.start_soon(self._find, dataset)
        if self._alive.cancelled_caught:
            raise WorkFailed(
                f"no dataset has given a sign of life for {self._stall_seconds:g} s", code=STALLED
            )
        if not self._findings:
            raise WorkFailed(_all_failed(self._failed), code=ALL_FAILED)

    def result(self, area: Area) -> dict[str, Any]:
        """Findings in the area's order, and what follows from them."""
        findings = [self._findings[d.name] for d in area.datasets if d.name in self._findings]
        shapes = {finding.dataset: self._shapes[finding.dataset] for finding in findings}
        failed = {d.name: self._failed[d.name] for d in area.datasets if d.name in self._failed}
        titles = {dataset.name: dataset.title for dataset in area.datasets}
        conclusions = derive(self._query, shapes, failed)
        result: dict[str, Any] = msgspec.to_builtins(
            {
                "researchSessionId": self._progress.id,
                "areaId": area.id,
                "title": area.title,
                "companyId": self._query.company_id,
                "userRole": self._query.user_role,
                "userCompany": self._query.user_company,
                "time": _now(),
                "findings": findings,
                "missing": [
                    Missing(dataset=name, title=titles[name], reason=reason)
                    for name, reason in failed.items()
                ],
                "insights": conclusions.insights,
                "recommendations": conclusions.recommendations,
            }
        )
        return result

    async def _find(self, dataset: Dataset) -> None:
        try:
            async with self._progress.step(dataset.name) as step:
                try:
                    await self._fetch(dataset, step)
                except SourceFailed as failed:
                    self._fail(dataset, str(failed)[:_MESSAGE_CHARS], failed)
                except Exception as error:  # noqa: BLE001 - of one source; the others go on
                    _log.error("dataset_failed", dataset=dataset.name, exc_info=error)
                    self._fail(dataset, "something went wrong in its source", error)
        finally:
            self._places.release()

    def _fail(self, dataset: Dataset, reason: str, error: Exception) -> None:
        self._sign_of_life()
        self._failed[dataset.name] = reason
        raise StepFailed(reason) from error

    async def _fetch(self, dataset: Dataset, step: StepProgress) -> None:
        async def report(message: str, progress: float | None = None) -> None:
            self._sign_of_life()
            try:
                await step.update(progress, message[:_MESSAGE_CHARS])
            except Unavailable as error:
                # Only how far it is could not be said; what it finds is not lost by that.
                _log.info("progress_not_stored", dataset=dataset.name, detail=error.detail)

        fetched = await fetch(dataset, self._query, self._endpoints, report)
        size = len(msgspec.json.encode(fetched.data))
        if size > self._room:
            raise SourceFailed(f"its {size} bytes do not fit into the result beside the other datasets")
        self._room -= size
        self._sign_of_life()
        self._shapes[dataset.name] = fetched.shaped
        self._findings[dataset.name] = Finding(
            dataset=dataset.name,
            title=dataset.title,
            source=SourceView(kind=dataset.source.kind, name=dataset.source.shown),
            time=_now(),
            data=fetched.data,
        )
        await report("found")

    def _sign_of_life(self) -> None:
        self._alive.deadline = trio.current_time() + self._stall_seconds


def _all_failed(failed: Mapping[str, str]) -> str:
    reasons = list(dict.fromkeys(failed.values()))
    if len(reasons) == 1:
        return f"none of the {len(failed)} datasets gave data: {reasons[0]}"
    each = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
    return f"none of the {len(failed)} datasets gave data: {each}"[:_MESSAGE_CHARS]


def _now() -> str:
    return format_time(datetime.now(UTC))
