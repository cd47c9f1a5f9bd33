"""What a registered function may read, and the fetching of any dataset."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import attrs
import msgspec
import trio

from .endpoints import Endpoints
from .files import read_file, select
from .shapes import SHAPE_NAMES, Shape
from .sources import Dataset, FileSource, FunctionSource, HttpSource, Report, SourceFailed, no_report
from .templates import Query

S = TypeVar("S", bound=Shape)

_QUOTED_CHARS: Final = 200  # of what msgspec says is wrong, which may quote the data


@attrs.frozen(eq=False)
class Fetched:
    """The data of one dataset: as it came, and as its shape, if it has one."""

    data: Any  # a JSON value
    shaped: Shape | None


class Inputs:
    """The datasets that a function ``uses``, by their shapes, and a way to say how far it is.

    Args:
        query: what is asked.
        uses: datasets of files.
        report: told by :meth:`report`.
    """

    def __init__(self, query: Query, uses: tuple[Dataset, ...], report: Report = no_report) -> None:
        self._query = query
        self._uses = {dataset.shape: dataset for dataset in uses if dataset.shape is not None}
        self.report: Final = report

    async def entry(self, shape: type[S]) -> S:
        """What the dataset of that shape says about the company asked about.

        Raises:
            NothingKnown: it has no entry for the company.
            SourceFailed: it cannot be read.
        """
        dataset, source = self._find(shape)
        document = await read_file(source, self._query, dataset.max_bytes)
        return _to_shape(select(document, source.entry, self._query), shape)

    async def all(self, shape: type[S]) -> Mapping[str, S]:
        """What the dataset of that shape says about every company it has, by the company's id.

        Raises:
            SourceFailed: it cannot be read, or is not one file for all companies.
        """
        dataset, source = self._find(shape)
        if source.path.fields or not source.entry or source.entry[-1].text != "{company_id}":
            raise SourceFailed(f"{dataset.name} is not one file with an entry for each company")
        document = await read_file(source, self._query, dataset.max_bytes)
        companies = select(document, source.entry[:-1], self._query)
        if not isinstance(companies, dict):
            raise SourceFailed(f"{dataset.name} has no object with an entry for each company")
        return {name: _to_shape(value, shape) for name, value in companies.items() if value is not None}

    def _find(self, shape: type[S]) -> tuple[Dataset, FileSource]:
        dataset = self._uses[shape]  # `needs` was checked at the start
        assert isinstance(dataset.source, FileSource)
        return dataset, dataset.source


async def fetch(dataset: Dataset, query: Query, endpoints: Endpoints, report: Report) -> Fetched:
    """Get one dataset from wherever it comes.

    Cancelled, nothing is left behind.

    Raises:
        NothingKnown: its source does not know the company.
        SourceFailed: there is no data, with the reason.
    """
    source = dataset.source
    if isinstance(source, HttpSource):
        await report(f"asking {source.shown}")
        answer = await endpoints.fetch(source, query, dataset.max_bytes, report)
        data = select(answer, source.entry, query)
    else:
        with trio.move_on_after(source.timeout_seconds) as scope:
            data = await _fetch_here(source, dataset, query, report)
        if scope.cancelled_caught:
            raise SourceFailed(f"{source.shown} took longer than {source.timeout_seconds:g} s")
    return Fetched(data, _to_shape(data, dataset.shape) if dataset.shape is not None else None)


async def _fetch_here(
    source: FileSource | FunctionSource, dataset: Dataset, query: Query, report: Report
) -> Any:
    if isinstance(source, FunctionSource):
        await report(f"computing {dataset.title}")
        return await _call(source, query, dataset.max_bytes, report)
    await report(f"reading {source.shown}")
    return select(await read_file(source, query, dataset.max_bytes), source.entry, query)


async def _call(source: FunctionSource, query: Query, max_bytes: int, report: Report) -> Any:
    value = await source.function.call(query, Inputs(query, source.uses, report))
    try:
        encoded = msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        said = str(error)[:_QUOTED_CHARS]
        raise SourceFailed(f"{source.shown} returned what is no JSON: {said}") from error
    if len(encoded) > max_bytes:
        raise SourceFailed(f"{source.shown} returned more than {max_bytes} bytes")
    return msgspec.json.decode(encoded)


def _to_shape(value: Any, shape: type[S]) -> S:
    try:
        return msgspec.convert(value, shape)
    except (msgspec.ValidationError, RecursionError) as error:
        raise SourceFailed(
            f"the data is not what {SHAPE_NAMES.get(shape, shape.__name__)} has to be: "
            f"{str(error)[:_QUOTED_CHARS]}"
        ) from error
