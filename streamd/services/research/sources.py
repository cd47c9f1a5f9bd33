"""Where a dataset comes from: the values of the configuration, and what can go wrong with a source."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import attrs

from .shapes import Shape
from .templates import Query, Template, UrlTemplate

if TYPE_CHECKING:
    from .reader import Inputs


class SourceFailed(Exception):
    """A source gave no data. The text is a plain sentence for the client, without a full stop."""


class NothingKnown(SourceFailed):
    """The source answered, and does not know the company."""

    def __init__(self, query: Query) -> None:
        super().__init__(f"nothing is known about {query.company_id}")


class Report(Protocol):
    """Tells what a source is doing; each call is a sign of life of the session."""

    async def __call__(self, message: str, progress: float | None = None) -> None:
        """Say what is done now, and how much of the dataset is there (0 to 100) where that is known."""


async def no_report(message: str, progress: float | None = None) -> None:
    """For sources that nobody watches."""


# --- the kinds of sources -----------------------------------------------------------------------


@attrs.frozen
class FileSource:
    """A JSON file, and the part of it that is wanted."""

    folder: Path  # which it must not leave, whatever is filled in
    path: Template  # relative to that folder
    entry: tuple[Template, ...] = ()  # members to go into, one after the other
    timeout_seconds: float = 10.0

    kind: Final = "file"

    @property
    def shown(self) -> str:
        return f"{self.folder.name}/{self.path.text}"


@attrs.frozen
class HttpSource:
    """An HTTP endpoint that answers GET with JSON."""

    url: UrlTemplate
    entry: tuple[Template, ...] = ()
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)  # may hold keys
    timeout_seconds: float = 10.0  # of one try, from the connecting to the last byte
    attempts: int = 3
    retry_seconds: float = 0.5  # before the second try; doubled for each further one

    kind: Final = "http"

    @property
    def shown(self) -> str:
        return self.url.host  # a path or query may say more than clients should see


SourceFunction = Callable[[Query, "Inputs"], Awaitable[Any]]
"""Returns a JSON value or a :class:`Shape`; raises :class:`SourceFailed` with a sentence when it has none."""


@attrs.frozen
class Registered:
    """A function that programs gave a name with :func:`register_source`."""

    name: str
    call: SourceFunction
    needs: tuple[type[Shape], ...]  # shapes among what the dataset ``uses``


@attrs.frozen
class FunctionSource:
    """A registered function, and the datasets it may read."""

    function: Registered
    uses: "tuple[Dataset, ...]" = ()  # all of files
    timeout_seconds: float = 10.0

    kind: Final = "function"

    @property
    def shown(self) -> str:
        return self.function.name


Source = FileSource | HttpSource | FunctionSource


@attrs.frozen
class Dataset:
    """One thing that is to be found out."""

    name: str
    title: str
    source: Source
    shape: type[Shape] | None = None  # None: any JSON, which no rule reads
    max_bytes: int = 4_194_304  # of a file or an answer


@attrs.frozen
class Area:
    """A question, and the datasets that answer it."""

    id: str
    title: str
    datasets: tuple[Dataset, ...]


# --- registered functions -----------------------------------------------------------------------

_REGISTERED: Final[dict[str, Registered]] = {}

F = TypeVar("F", bound=SourceFunction)


def register_source(name: str, *, needs: tuple[type[Shape], ...] = ()) -> Callable[[F], F]:
    """Give a function a name under which datasets can have it as their source.

    Args:
        name: what the configuration says in ``function``.
        needs: shapes it reads by :class:`~streamd.services.research.reader.Inputs`; a dataset whose ``uses``
            lack one of them is refused at the start.

    Raises:
        ValueError: another function has that name.
    """

    def register(function: F) -> F:
        if name in _REGISTERED:
            raise ValueError(f"there is a source {name!r} already")
        _REGISTERED[name] = Registered(name, function, needs)
        return function

    return register


def registered_sources() -> Mapping[str, Registered]:
    """All registered functions by name."""
    return _REGISTERED
