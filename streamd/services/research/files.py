"""Datasets in JSON files."""

import os
import stat
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from .query import ResearchQuery
from .sources import NothingKnown, SourceFailed, SourceReport, decode_json, time_limit
from .templates import IDS, Template


@attrs.frozen
class FileSource:
    """A JSON file, and the members that lead to the data in it."""

    title: str  # of the dataset
    folder: Path  # which the path never leaves, whatever the values of its fields are
    path: Template
    entry: tuple[Template, ...] = ()  # names of members, each inside the one before
    timeout_seconds: float = 10.0

    kind: Final = "file"

    @property
    def label(self) -> str:
        return f"the file of {self.title!r}"

    @property
    def origin(self) -> str:
        return str(self.folder / self.path.text)

    async def fetch(self, query: ResearchQuery, max_bytes: int, report: SourceReport) -> Any:
        """See :meth:`.sources.DataSource.fetch`."""
        with time_limit(self, self.timeout_seconds):
            await report(f"reading {self.title}")
            return select(await self.read(query, max_bytes), self.entry, query)

    async def read(self, query: ResearchQuery, max_bytes: int) -> Any:
        """Read the whole file in a thread, whose answer is dropped on cancelling.

        Raises:
            NothingKnown: the file does not exist, and its path depends on the query.
            SourceFailed: the file cannot be read, is too large, or is not JSON.
        """
        # Reading has no side effect, and the thread closes the file, so it may be abandoned.
        return await trio.to_thread.run_sync(self._read, query, max_bytes, abandon_on_cancel=True)

    def locate(self, query: ResearchQuery) -> Path:
        """Return the path of the file for a query.

        Raises:
            SourceFailed: it would lie outside the folder, also by a symbolic link.
        """
        folder = self.folder.resolve()
        try:
            path = (folder / self.path.fill(query)).resolve()
        except (ValueError, RuntimeError) as error:  # a NUL; a loop of links
            raise SourceFailed("that is no path of a file") from error
        if not path.is_relative_to(folder):
            raise SourceFailed("that path leads out of the folder of the data")
        return path

    def _read(self, query: ResearchQuery, max_bytes: int) -> Any:
        try:
            content = _read_bytes(self.locate(query), max_bytes)
        except FileNotFoundError as error:
            if self.path.fields:
                raise NothingKnown(query) from error
            raise SourceFailed(f"{self.label} is missing") from error
        except OSError as error:
            raise SourceFailed(f"{self.label} cannot be read") from error
        return decode_json(content, self.label)


def static_folder(base: Path, path: Template) -> tuple[Path, Template]:
    """Split a path into the deepest folder without fields, and the path below it.

    Raises:
        ValueError: the path is absolute, or leads out of ``base``.
    """
    head: list[str] = []
    segments = path.text.split("/")
    while len(segments) > 1 and not Template.parse(segments[0], IDS).fields:
        head.append(segments.pop(0).replace("{{", "{").replace("}}", "}"))
    if path.text.startswith("/") or ".." in (*head, *segments):
        raise ValueError("the path must be relative to this file, and must not lead out of its folder")
    return base.joinpath(*head), Template.parse("/".join(segments), IDS)


def select(document: Any, entry: tuple[Template, ...], query: ResearchQuery) -> Any:
    """Return the value at the end of the members that ``entry`` names.

    Raises:
        NothingKnown: the member named after the query is missing or null.
        SourceFailed: another member is missing.
    """
    for template in entry:
        name = template.fill(query)
        if not isinstance(document, dict):
            raise SourceFailed(f"the data has no member {name[:100]!r}: it is no object there")
        if document.get(name) is None:
            if template.fields:
                raise NothingKnown(query)
            raise SourceFailed(f"the data has no member {name[:100]!r}")
        document = document[name]
    if document is None:
        raise NothingKnown(query)
    return document


def _read_bytes(path: Path, max_bytes: int) -> bytes:
    # Without O_NONBLOCK opening a FIFO would wait for its writer, and hold the thread.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise SourceFailed("the data is not in a regular file")
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise SourceFailed(f"the file is larger than {max_bytes} bytes")
    return content
