"""Reading the areas file (TOML): every mistake in it is found at the start, and named by file and key."""

import math
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs
import msgspec

from ...errors import ConfigError
from .files import static_folder
from .settings import ResearchSettings
from .shapes import SHAPE_NAMES, SHAPES
from .sources import Area, Dataset, FileSource, FunctionSource, HttpSource, Source, registered_sources
from .templates import IDS, Template, UrlTemplate

T = TypeVar("T")
N = TypeVar("N", int, float)

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110 section 5.6.2
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e]([\t\x20-\x7e]*[\x21-\x7e])?", re.ASCII)
_MAX_ATTEMPTS: Final = 100
_MAX_SECONDS: Final = 86_400.0  # no session lives longer


class DatasetTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``[datasets.NAME]``: one of ``file``, ``url`` and ``function``, and what belongs to it."""

    title: str = ""
    shape: str | None = None
    max_bytes: int | None = None
    file: str | None = None
    url: str | None = None
    function: str | None = None
    timeout_seconds: float | None = None  # of one try at a URL, and of all of a file or a function
    entry: list[str] = []  # of a file or a URL
    headers: dict[str, str] = {}  # of a URL, as the following
    headers_from_env: dict[str, str] = {}
    attempts: int | None = None
    retry_seconds: float | None = None
    uses: list[str] = []  # of a function


class AreaTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``[areas.NAME]``."""

    datasets: list[str]
    title: str = ""


_BELONGS: Final = {
    "file": {"entry", "timeout_seconds"},
    "url": {"entry", "headers", "headers_from_env", "timeout_seconds", "attempts", "retry_seconds"},
    "function": {"uses", "timeout_seconds"},
}
_ALL_BELONGING: Final = frozenset().union(*_BELONGS.values())


def load_areas(
    path: Path, settings: ResearchSettings, environ: Mapping[str, str] | None = None
) -> dict[str, Area]:
    """Read the areas and their datasets.

    Args:
        path: the TOML file; files of datasets are relative to its folder.
        settings: bounds and defaults for datasets that say nothing of their own.
        environ: where ``headers_from_env`` looks; this process's environment when left out.

    Raises:
        ConfigError: the file cannot be used; its detail has a line for each mistake, with file and key.
    """
    return _Reader(path, settings, os.environ if environ is None else environ).read()


class _Mistake(Exception):
    """One thing wrong, at a key."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


@attrs.define
class _Reader:
    path: Path
    settings: ResearchSettings
    environ: Mapping[str, str]
    datasets: dict[str, Dataset] = attrs.field(factory=dict)
    functions: list[tuple[str, DatasetTable]] = attrs.field(factory=list)  # built last: they use the others
    mistakes: list[str] = attrs.field(factory=list)

    def read(self) -> dict[str, Area]:
        document = self._document()
        known: set[str] = set()
        for name, value in self._tables(document, "datasets"):
            known.add(name)
            self._try(self._dataset, name, value)
        for name, table in self.functions:
            self._try(self._function, name, table)
        areas: dict[str, Area] = {}
        for name, value in self._tables(document, "areas"):
            if area := self._try(self._area, name, value, known):
                areas[name] = area
        if not areas and not self.mistakes:
            self.mistakes.append(f"{self.path}: areas: there is none")
        if self.mistakes:
            raise ConfigError("\n".join(self.mistakes), field="research.areas_file")
        return areas

    def _document(self) -> dict[str, Any]:
        try:
            document = tomllib.loads(self.path.read_bytes().decode())
        except OSError as error:
            text = f"the file cannot be read: {error.strerror or error}"
        except UnicodeDecodeError as error:
            text = f"the file is not UTF-8 (byte {error.start})"
        except (ValueError, RecursionError) as error:
            text = f"the file is not valid TOML: {error}"
        else:
            for key in document.keys() - {"datasets", "areas"}:
                self._wrong(key, "there is no such key; there are datasets and areas")
            return document
        raise ConfigError(f"{self.path}: {text}", field="research.areas_file")

    def _tables(self, document: dict[str, Any], key: str) -> list[tuple[str, Any]]:
        tables = document.get(key, {})
        if not isinstance(tables, dict):
            self._wrong(key, f"write [{key}.NAME] above its keys")
            return []
        for name in tables:
            if not _NAME.fullmatch(name):
                self._wrong(f"{key}.{name}", "a name is made of a-z, 0-9 and _, and begins with a letter")
        return list(tables.items())

    def _wrong(self, key: str, text: str) -> None:
        self.mistakes.append(f"{self.path}: {key}: {text}")

    def _try(self, build: Any, name: str, *arguments: Any) -> Any:
        try:
            return build(name, *arguments)
        except _Mistake as mistake:
            self._wrong(mistake.key, str(mistake))
            return None

    def _dataset(self, name: str, value: Any) -> None:
        key = f"datasets.{name}"
        table = _convert(key, value, DatasetTable)
        _check_sources(key, value)
        if table.function is not None:
            self.functions.append((name, table))
        elif table.file is not None:
            self._add(name, table, self._file(key, table, table.file))
        elif table.url is not None:
            self._add(name, table, self._endpoint(key, table, table.url))

    def _add(self, name: str, table: DatasetTable, source: Source) -> None:
        key = f"datasets.{name}"
        if table.shape is not None and table.shape not in SHAPES:
            raise _Mistake(f"{key}.shape", f"{table.shape!r} is none of {', '.join(SHAPES)}")
        self.datasets[name] = Dataset(
            name,
            table.title or name.replace("_", " "),
            source,
            SHAPES[table.shape] if table.shape is not None else None,
            _bounded(f"{key}.max_bytes", table.max_bytes, self.settings.max_dataset_bytes, math.inf),
        )

    def _file(self, key: str, table: DatasetTable, text: str) -> FileSource:
        try:
            Template.parse(text, IDS)
            folder, path = static_folder(self.path.parent, Template.parse(text, IDS))
        except ValueError as error:
            raise _Mistake(f"{key}.file", str(error)) from error
        if not path.fields and not (folder / path.text).is_file():
            raise _Mistake(f"{key}.file", f"there is no file {text} beside this one")
        if not (folder / path.text).resolve().is_relative_to(self.path.parent.resolve()):
            raise _Mistake(f"{key}.file", "the path leads out of the folder of this file")
        return FileSource(folder, path, _entry(key, table), self._timeout(key, table))

    def _endpoint(self, key: str, table: DatasetTable, text: str) -> HttpSource:
        try:
            url = UrlTemplate.parse(text)
        except ValueError as error:
            raise _Mistake(f"{key}.url", str(error)) from error
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
        defaults = self.settings
        return HttpSource(
            url,
            _entry(key, table),
            headers,
            self._timeout(key, table),
            _bounded(f"{key}.attempts", table.attempts, defaults.dataset_attempts, _MAX_ATTEMPTS),
            _bounded(
                f"{key}.retry_seconds", table.retry_seconds, defaults.dataset_retry_seconds, _MAX_SECONDS
            ),
        )

    def _function(self, name: str, table: DatasetTable) -> None:
        key = f"datasets.{name}"
        registered = registered_sources()
        if (function := registered.get(table.function or "")) is None:
            known = ", ".join(sorted(registered))
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
        self._add(name, table, FunctionSource(function, tuple(uses), self._timeout(key, table)))

    def _timeout(self, key: str, table: DatasetTable) -> float:
        default = self.settings.dataset_timeout_seconds
        return _bounded(f"{key}.timeout_seconds", table.timeout_seconds, default, _MAX_SECONDS)

    def _area(self, name: str, value: Any, known: set[str]) -> Area | None:
        key = f"areas.{name}"
        table = _convert(key, value, AreaTable)
        if not table.datasets:
            raise _Mistake(f"{key}.datasets", "name at least one dataset")
        if len(set(table.datasets)) < len(table.datasets):
            raise _Mistake(f"{key}.datasets", "a dataset is named twice")
        for used in table.datasets:
            if used not in known:
                raise _Mistake(f"{key}.datasets", f"there is no dataset {used!r}")
        datasets = [self.datasets[used] for used in table.datasets if used in self.datasets]
        shapes = [dataset.shape for dataset in datasets if dataset.shape is not None]
        if len(set(shapes)) < len(shapes):
            raise _Mistake(f"{key}.datasets", "two of them have the same shape: rules want one")
        return Area(name, table.title or name.replace("_", " "), tuple(datasets))


def _convert(key: str, value: Any, table: type[T]) -> T:
    try:
        return msgspec.convert(value, table)
    except msgspec.ValidationError as error:
        raise _Mistake(key, str(error).replace("Object", "the table", 1).replace("`$.", "`")) from error


def _check_sources(key: str, value: dict[str, Any]) -> None:
    sources = [name for name in _BELONGS if name in value]
    if len(sources) != 1:
        named = "it has none" if not sources else f"it has {' and '.join(sources)}"
        raise _Mistake(key, f"a dataset has exactly one of {', '.join(_BELONGS)}; {named}")
    for name in value:
        if name in _ALL_BELONGING and name not in _BELONGS[sources[0]]:
            raise _Mistake(f"{key}.{name}", f"does not go with {sources[0]}")
    if not value[sources[0]]:
        raise _Mistake(f"{key}.{sources[0]}", "must not be empty")


def _entry(key: str, table: DatasetTable) -> tuple[Template, ...]:
    try:
        return tuple(Template.parse(text, IDS) for text in table.entry)
    except ValueError as error:
        raise _Mistake(f"{key}.entry", str(error)) from error


def _bounded(key: str, value: N | None, default: N, most: float) -> N:
    if value is None:
        return default
    if not 0 < value <= most:
        raise _Mistake(key, "must be greater than 0" + ("" if most == math.inf else f" and at most {most:_}"))
    return value
