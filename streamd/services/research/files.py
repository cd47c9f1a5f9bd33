"""Datasets in JSON files."""

import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import trio

from .sources import FileSource, NothingKnown, SourceFailed
from .templates import IDS, Query, Template


def static_folder(base: Path, path: Template) -> tuple[Path, Template]:
    """The deepest folder that no field decides about, and the path below it.

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


def locate(source: FileSource, query: Query) -> Path:
    """The file for one query.

    Raises:
        SourceFailed: it would lie outside the source's folder, also by a symbolic link.
    """
    folder = source.folder.resolve()
    try:
        path = (folder / source.path.fill(query)).resolve()
    except (ValueError, RuntimeError) as error:  # a NUL; a loop of links
        raise SourceFailed("that is no path of a file") from error
    if not path.is_relative_to(folder):
        raise SourceFailed("that path leads out of the folder of the data")
    return path


async def read_file(source: FileSource, query: Query, max_bytes: int) -> Any:
    """The JSON of the file, whole. It is read in a thread; cancelled, the thread's answer is dropped.

    Raises:
        NothingKnown: there is no such file, and its name depends on the query.
        SourceFailed: it cannot be read, is too large, or is no JSON.
    """
    # Only reads, and closes what it opened: nothing is lost when nobody waits for it any more.
    return await trio.to_thread.run_sync(_read, source, query, max_bytes, abandon_on_cancel=True)


def _read(source: FileSource, query: Query, max_bytes: int) -> Any:
    try:
        content = _read_bytes(locate(source, query), max_bytes)
    except FileNotFoundError as error:
        if source.path.fields:
            raise NothingKnown(query) from error
        raise SourceFailed(f"the file {source.shown} is missing") from error
    except OSError as error:
        raise SourceFailed(f"the file {source.shown} cannot be read: {error.strerror or error}") from error
    return decode(content, f"the file {source.shown}")


def _read_bytes(path: Path, max_bytes: int) -> bytes:
    # Without O_NONBLOCK opening a FIFO would wait for its writer, and hold the thread.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise SourceFailed("what should be a file of data is none")
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise SourceFailed(f"the file is larger than {max_bytes} bytes")
    return content


def decode(content: bytes, what: str) -> Any:
    """The JSON value of a file or an answer.

    Raises:
        SourceFailed: it is no JSON.
    """
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise SourceFailed(f"{what} is not JSON: {str(error)[:200]}") from error


def select(document: Any, entry: tuple[Template, ...], query: Query) -> Any:
    """Go into the members that ``entry`` names.

    Raises:
        NothingKnown: the member that stands for the query is not there, or null.
        SourceFailed: the data is not built that way.
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
