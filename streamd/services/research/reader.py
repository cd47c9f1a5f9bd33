"""Datasets computed by registered functions, and the reader of files that such a function is given."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import attrs
import msgspec

from ...errors import InvalidField
from ...json import encode_json
from .files import FileSource, select
from .query import ResearchQuery
from .shapes import Shape
from .sources import Dataset, SourceFailed, SourceReport, time_limit, to_shape

S = TypeVar("S", bound=Shape)


class Reader:
    """Access of a function to the datasets that its own dataset ``uses``, by their shapes.

    Args:
        query: the request.
        datasets: the datasets, all of them in files.
        report: reports the progress of the function.
    """

    def __init__(self, query: ResearchQuery, datasets: tuple[Dataset, ...], report: SourceReport) -> None:
        self._query = query
        self._datasets = {dataset.shape: dataset for dataset in datasets if dataset.shape is not None}
        self.report: Final = report

    async def entry(self, shape: type[S]) -> S:
        """Return the entry for the company of the query.

        Raises:
            NothingKnown: the dataset has no entry for the company.
            SourceFailed: the dataset cannot be read.
        """
        dataset, source = self._find(shape)
        document = await source.read(self._query, dataset.max_bytes)
        return to_shape(select(document, source.entry, self._query), shape)

    async def all(self, shape: type[S]) -> Mapping[str, S]:
        """Return the entries of all companies by their ids.

        Raises:
            SourceFailed: the dataset cannot be read, or is not one file for all companies.
        """
        dataset, source = self._find(shape)
        if source.path.fields or not source.entry or source.entry[-1].text != "{company_id}":
            raise SourceFailed(f"{dataset.name} is not one file with an entry for each company")
        document = await source.read(self._query, dataset.max_bytes)
        companies = select(document, source.entry[:-1], self._query)
        if not isinstance(companies, dict):
            raise SourceFailed(f"{dataset.name} has no object with an entry for each company")
        return {name: to_shape(value, shape) for name, value in companies.items() if value is not None}

    def _find(self, shape: type[S]) -> tuple[Dataset, FileSource]:
        dataset = self._datasets[shape]  # the configuration was checked for the shapes that are needed
        assert isinstance(dataset.source, FileSource)
        return dataset, dataset.source


SourceFunction = Callable[[ResearchQuery, Reader], Awaitable[Any]]
"""Returns a JSON value or a :class:`Shape`. Raises :class:`SourceFailed` with a sentence if there is none."""


@attrs.frozen
class RegisteredFunction:
    """A function with the name that :func:`register_source` gave it."""

    name: str
    call: SourceFunction
    needs: tuple[type[Shape], ...]  # shapes that the dataset must list in ``uses``


SOURCES: Final[dict[str, RegisteredFunction]] = {}
"""The registered functions by their names."""

F = TypeVar("F", bound=SourceFunction)


def register_source(name: str, *, needs: tuple[type[Shape], ...] = ()) -> Callable[[F], F]:
    """Register a function as a source of datasets.

    Args:
        name: the value of ``function`` in the configuration.
        needs: the shapes that it reads with :class:`Reader`. A dataset whose ``uses`` lack one of them is
            rejected at the start.

    Raises:
        ValueError: another function has that name.
    """

    def register(function: F) -> F:
        if name in SOURCES:
            raise ValueError(f"there is a source {name!r} already")
        SOURCES[name] = RegisteredFunction(name, function, needs)
        return function

    return register


@attrs.frozen
class FunctionSource:
    """A registered function as the source of a dataset."""

    function: RegisteredFunction
    title: str  # of the dataset
    uses: tuple[Dataset, ...] = ()  # all of them in files
    timeout_seconds: float = 10.0

    kind: Final = "function"

    @property
    def label(self) -> str:
        return f"the computation of {self.title!r}"

    @property
    def origin(self) -> str:
        return self.function.name

    async def fetch(self, query: ResearchQuery, max_bytes: int, report: SourceReport) -> Any:
        """See :meth:`.sources.DataSource.fetch`."""
        with time_limit(self, self.timeout_seconds):
            await report(f"computing {self.title}")
            value = await self.function.call(query, Reader(query, self.uses, report))
        try:
            encoded = encode_json(value, f"the value of {self.label}")
        except InvalidField as error:
            sentence, _, _ = error.detail.partition(":")  # behind it are names of the program's own
            raise SourceFailed(sentence) from error
        if len(encoded) > max_bytes:
            raise SourceFailed(f"{self.label} returned more than {max_bytes} bytes")
        return msgspec.json.decode(encoded)
