"""The areas file (TOML): datasets and areas, with all mistakes reported at once by file and key."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import attrs
import msgspec
from msgspec import Meta

from ...config import read_toml
from ...errors import ConfigError
from . import functions  # noqa: F401 - registers the functions that come with streamd
from .endpoints import HttpSource
from .files import FileSource, static_folder
from .reader import SOURCES, FunctionSource
from .settings import ResearchSettings
from .shapes import SHAPE_NAMES, SHAPES
from .sources import Area, Dataset, DataSource
from .templates import IDS, Template, UrlTemplate

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

_SETTING: Final = "research.areas_file"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110 section 5.6.2
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e]([\t\x20-\x7e]*[\x21-\x7e])?", re.ASCII)

# Messages of msgspec about fields, which do not name the field in their path.
_FIELD: Final = re.compile(r"Object (?:(?P<missing>missing required)|contains unknown) field `(?P<name>.*)`")

Text = Annotated[str, Meta(min_length=1)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]  # no session lives longer than a day
Attempts = Annotated[int, Meta(ge=1, le=100)]
Bytes = Annotated[int, Meta(ge=1)]


class DatasetTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``[datasets.NAME]``. Its source is the one of ``file``, ``url`` and ``function`` that it has."""

    title: str = ""
    shape: str | None = None
    max_bytes: Bytes | None = None
    timeout_seconds: Seconds | None = None  # of one attempt at a URL, and of all of a file or a function


class FileTable(DatasetTable, kw_only=True):
    """A dataset in a file."""

    file: Text
    entry: list[str] = []


class EndpointTable(DatasetTable, kw_only=True):
    """A dataset behind an HTTP endpoint."""

    url: Text
    entry: list[str] = []
    headers: dict[str, str] = {}
    headers_from_env: dict[str, str] = {}
    attempts: Attempts | None = None
    retry_seconds: Seconds | None = None


class FunctionTable(DatasetTable, kw_only=True):
    """A dataset computed by a registered function."""

    function: Text
    uses: list[str] = []


class AreaTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``[areas.NAME]``."""

    datasets: list[str]
    title: str = ""


AnyTable = FileTable | EndpointTable | FunctionTable

_TABLES: Final[Mapping[str, type[AnyTable]]] = {
    "file": FileTable,
    "url": EndpointTable,
    "function": FunctionTable,
}


def load_areas(
    path: Path, settings: ResearchSettings, environ: Mapping[str, str] | None = None
) -> dict[str, Area]:
    """Read the areas and their datasets.

    Args:
        path: the TOML file; files of datasets are relative to its folder.
        settings: limits, and defaults for datasets that do not set their own.
        environ: the variables for ``headers_from_env``; this process's environment by default.

    Raises:
        ConfigError: the file is invalid. The detail has a line for each mistake, with file and key.
    """
    return _AreasFile(path, settings, os.environ if environ is None else environ).read()


class _Mistake(Exception):
    """A mistake at a key of the file."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


@contextmanager
def _at(key: str) -> Iterator[None]:
    """Report a ValueError of the block as a mistake at a key."""
    try:
        yield
    except ValueError as error:
        raise _Mistake(key, str(error)) from error


@attrs.define
class _AreasFile:
    path: Path
    settings: ResearchSettings
    environ: Mapping[str, str]
    datasets: dict[str, Dataset] = attrs.field(factory=dict)
    mistakes: list[str] = attrs.field(factory=list)

    def read(self) -> dict[str, Area]:
        document = read_toml(self.path, setting=_SETTING)
        for key in document.keys() - {"datasets", "areas"}:
            self._add_mistake(key, "there is no such key; there are datasets and areas")
        known = self._tables(document, "datasets")
        tables = self._build_all("datasets", known, _read_dataset_table)
        # Functions come last: they use the datasets in files.
        for kind in _TABLES.values():
            of_kind = {name: table for name, table in tables.items() if isinstance(table, kind)}
            self.datasets |= self._build_all("datasets", of_kind, self._make_dataset)
        areas = self._build_all(
            "areas", self._tables(document, "areas"), lambda key, value: self._make_area(key, value, known)
        )
        if not areas and not self.mistakes:
            self._add_mistake("areas", "there is none")
        if self.mistakes:
            raise ConfigError("\n".join(self.mistakes), field=_SETTING)
        return areas

    def _tables(self, document: dict[str, Any], key: str) -> dict[str, Any]:
        tables = document.get(key, {})
        if not isinstance(tables, dict):
            self._add_mistake(key, f"write [{key}.NAME] above its keys")
            return {}
        for name in tables:
            if not _NAME.fullmatch(name):
                self._add_mistake(
                    f"{key}.{name}", "a name consists of a-z, 0-9 and _, and begins with a letter"
                )
        return tables

    def _build_all(self, key: str, tables: Mapping[str, Any], build: Callable[[str, Any], T]) -> dict[str, T]:
        """Build a value from each table, and collect the mistakes in the others."""
        built = {}
        for name, table in tables.items():
            try:
                built[name] = build(f"{key}.{name}", table)
            except _Mistake as mistake:
                self._add_mistake(mistake.key, str(mistake))
        return built

    def _add_mistake(self, key: str, text: str) -> None:
        self.mistakes.append(f"{_SETTING}: {self.path}: {key}: {text}")

    def _make_dataset(self, key: str, table: AnyTable) -> Dataset:
        name = key.partition(".")[2]
        title = table.title or name.replace("_", " ")
        if table.shape is not None and table.shape not in SHAPES:
            raise _Mistake(f"{key}.shape", f"{table.shape!r} is none of {', '.join(SHAPES)}")
        return Dataset(
            name,
            title,
            self._make_source(key, table, title),
            SHAPES[table.shape] if table.shape is not None else None,
            table.max_bytes or self.settings.max_dataset_bytes,
        )

    def _make_source(self, key: str, table: AnyTable, title: str) -> DataSource:
        timeout = table.timeout_seconds or self.settings.dataset_timeout_seconds
        if isinstance(table, FunctionTable):
            return self._make_function(key, table, title, timeout)
        with _at(f"{key}.entry"):
            entry = tuple(Template.parse(text, IDS) for text in table.entry)
        if isinstance(table, FileTable):
            with _at(f"{key}.file"):
                return FileSource(title, *self._locate(table.file), entry, timeout)
        with _at(f"{key}.url"):
            url = UrlTemplate.parse(table.url)
        return HttpSource(
            title,
            url,
            entry,
            self._make_headers(key, table),
            timeout,
            table.attempts or self.settings.retry.attempts,
            table.retry_seconds or self.settings.retry.backoff_seconds,
            self.settings.retry.max_wait_seconds,
        )

    def _locate(self, file: str) -> tuple[Path, Template]:
        folder, path = static_folder(self.path.parent, Template.parse(file, IDS))
        try:
            missing = not path.fields and not (folder / path.text).is_file()
            outside = not (folder / path.text).resolve().is_relative_to(self.path.parent.resolve())
        except OSError as error:  # such as a name that is too long
            raise ValueError(f"{file} cannot be read: {error.strerror or error}") from error
        except RuntimeError as error:
            raise ValueError(f"{file} cannot be read: its path is a loop of links") from error
        if missing:
            raise ValueError(f"there is no file {file} beside this one")
        if outside:
            raise ValueError("the path leads out of the folder of this file")
        return folder, path

    def _make_headers(self, key: str, table: EndpointTable) -> dict[str, str]:
        headers = dict(table.headers)
        for name, variable in table.headers_from_env.items():
            if variable not in self.environ:
                raise _Mistake(
                    f"{key}.headers_from_env.{name}", f"the environment has no variable {variable}"
                )
            headers[name] = self.environ[variable]
        for name, value in headers.items():
            if not _HEADER.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                # The value may be a key, and is not shown.
                raise _Mistake(f"{key}.headers.{name}", "a header has a name and one line of ASCII text")
        return headers

    def _make_function(
        self, key: str, table: FunctionTable, title: str, timeout_seconds: float
    ) -> FunctionSource:
        if (function := SOURCES.get(table.function)) is None:
            known = ", ".join(sorted(SOURCES))
            raise _Mistake(f"{key}.function", f"{table.function!r} is not registered; there are {known}")
        uses = []
        for used in table.uses:
            dataset = self.datasets.get(used)
            if dataset is None or not isinstance(dataset.source, FileSource):
                raise _Mistake(f"{key}.uses", f"there is no dataset {used!r} with a file")
            uses.append(dataset)
        for shape in function.needs:
            if shape not in [dataset.shape for dataset in uses]:
                wanted = SHAPE_NAMES.get(shape, shape.__name__)
                raise _Mistake(f"{key}.uses", f"{function.name} needs a dataset with the shape {wanted}")
        return FunctionSource(function, title, tuple(uses), timeout_seconds)

    def _make_area(self, key: str, value: Any, known: Mapping[str, Any]) -> Area:
        table = _convert(key, value, AreaTable)
        with _at(f"{key}.datasets"):
            if not table.datasets:
                raise ValueError("name at least one dataset")
            if len(set(table.datasets)) < len(table.datasets):
                raise ValueError("a dataset is named twice")
            for used in table.datasets:
                if used not in known:
                    raise ValueError(f"there is no dataset {used!r}")
            # Those with a mistake of their own are known, but were not built.
            datasets = tuple(self.datasets[used] for used in table.datasets if used in self.datasets)
            shapes = [dataset.shape for dataset in datasets if dataset.shape is not None]
            if len(set(shapes)) < len(shapes):
                raise ValueError("two of them have the same shape: rules expect one")
        name = key.partition(".")[2]
        return Area(name, table.title or name.replace("_", " "), datasets)


def _read_dataset_table(key: str, value: Any) -> AnyTable:
    sources = [name for name in _TABLES if name in value] if isinstance(value, dict) else []
    if len(sources) == 1:
        return _convert(key, value, _TABLES[sources[0]])
    if not sources:
        _convert(key, value, DatasetTable)  # a misspelt key is the more likely mistake
    named = " and ".join(sources) or "none"
    raise _Mistake(key, f"a dataset has exactly one of {', '.join(_TABLES)}; it has {named}")


def _convert(key: str, value: Any, table: type[S]) -> S:
    try:
        return msgspec.convert(value, table)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        key += path.rstrip("`")
        if field := _FIELD.fullmatch(text):
            key = f"{key}.{field['name']}"
            text = (
                "this key is required"
                if field["missing"]
                else f"there is no such key here; there are {', '.join(table.__struct_fields__)}"
            )
        raise _Mistake(key, text) from error
