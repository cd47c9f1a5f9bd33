"""Sources of datasets: the port that files, endpoints and functions implement, and their errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol, TypeVar

import attrs
import msgspec
import trio

from ...errors import InvalidBody
from ...json import check_json
from .query import ResearchQuery
from .shapes import SHAPE_NAMES, Shape

S = TypeVar("S", bound=Shape)


class SourceFailed(Exception):
    """A source has no data.

    The text is a plain sentence for the client, without a full stop. It names no host, path or exception:
    these are the ``__cause__``, which is logged.
    """


class NothingKnown(SourceFailed):
    """A source answered, and does not know the company."""

    def __init__(self, query: ResearchQuery) -> None:
        super().__init__(f"nothing is known about {query.company_id}")


class SourceReport(Protocol):
    """Reports the progress of a source. Each report restarts the session's stall timeout."""

    async def __call__(self, message: str, progress: float | None = None) -> None:
        """Report a message, and the progress within the dataset (0 to 100) if it is known."""


class DataSource(Protocol):
    """The origin of a dataset."""

    @property
    def kind(self) -> Literal["file", "http", "function"]: ...

    @property
    def title(self) -> str:
        """The title of its dataset."""
        ...

    @property
    def label(self) -> str:
        """The subject of sentences for clients, such as ``the file of 'People'``; never a host or a path."""
        ...

    @property
    def origin(self) -> str:
        """The host, the path or the name of the function, for the operator's log."""
        ...

    async def fetch(self, query: ResearchQuery, max_bytes: int, report: SourceReport) -> Any:
        """Return the data, at most ``max_bytes`` of JSON, as a JSON value. Cancelling leaves nothing behind.

        Raises:
            NothingKnown: the source does not know the company.
            SourceFailed: there is no data; the text is the reason.
        """
        ...


@contextmanager
def time_limit(source: DataSource, seconds: float) -> Iterator[None]:
    """Cancel the block after a timeout (s).

    Raises:
        SourceFailed: the timeout expired.
    """
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise SourceFailed(f"{source.label} took longer than {seconds:g} s")


@attrs.frozen
class Dataset:
    """A named piece of information about a company, and its source."""

    name: str
    title: str
    source: DataSource
    shape: type[Shape] | None = None  # None: any JSON, which no rule reads
    max_bytes: int = 4_194_304

    async def fetch(self, query: ResearchQuery, report: SourceReport) -> tuple[Any, Shape | None]:
        """Return the data, and the same as its shape if the dataset has one.

        Raises:
            NothingKnown: the source does not know the company.
            SourceFailed: there is no data, or it does not have the shape.
        """
        data = await self.source.fetch(query, self.max_bytes, report)
        return data, to_shape(data, self.shape) if self.shape is not None else None


@attrs.frozen
class Area:
    """A subject of research, and its datasets."""

    id: str
    title: str
    datasets: tuple[Dataset, ...]


def to_shape(data: Any, shape: type[S]) -> S:
    """Convert data to a shape.

    Raises:
        SourceFailed: the data does not have the shape.
    """
    try:
        return msgspec.convert(data, shape)
    except (msgspec.ValidationError, RecursionError) as error:
        name = SHAPE_NAMES.get(shape, shape.__name__)
        raise SourceFailed(f"the data does not have the shape {name}") from error


def decode_json(content: bytes, label: str) -> Any:
    """Decode JSON.

    Raises:
        SourceFailed: the content, which is named by ``label``, is not within the profile of
            :mod:`streamd.json`.
    """
    try:
        return check_json(content, noun=label)
    except InvalidBody as error:
        sentence = error.detail if error.field is None else f"{label} is not usable: {error.detail}"
        raise SourceFailed(sentence) from error
