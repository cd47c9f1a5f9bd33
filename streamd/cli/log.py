"""``streamd log``: the file of the event log, with or without a server that uses it."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Final, TypeVar

import attrs
import click
import trio

from ..clock import utc_now
from ..config import load
from ..database import DatabaseFile, FileLock
from ..errors import ConfigError, InvalidField
from ..events import EARLIEST, EventId, parse_event_id
from ..log.sqlite import archive
from ..log.sqlite.importing import Import
from ..settings import Settings
from ..startup import with_store
from ..storage import log_path

T = TypeVar("T")

_NOTE_SECONDS: Final = 1.0  # between two lines of progress
_EVENT_BEGINS: Final = b'{"id":"'  # a line of an export
_MEMORY: Final = "the event log is in memory; name a file, such as --log sqlite:streamd.db"

_source = click.option(
    "--log",
    "url",
    metavar="URL",
    help="Event log, such as sqlite:streamd.db; by default the one that `streamd serve` would use.",
)
_file = click.option("--config", type=click.Path(path_type=Path), help="Configuration file (TOML).")


@click.group()
def log() -> None:
    """Count, export, import and back up the events of the log's file."""


@log.command()
@_source
@_file
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def stats(url: str | None, config: Path | None, as_json: bool) -> None:
    """Count events, topics and bytes. A server may use the file at the same time."""
    path = _path(url, config)
    found = _or_fail(lambda: archive.statistics(path))
    if as_json:
        click.echo(json.dumps({"file": path, **attrs.asdict(found)}))
        return
    click.echo(f"file       {path}, {found.file_bytes:,} bytes, {found.free_bytes:,} of them free")
    click.echo(f"events     {found.events:,} with {found.bytes:,} bytes, under {found.topics:,} topics")
    if found.first is not None:
        click.echo(f"from       {found.first} to {found.last}")
    click.echo(f"keys       {found.keys:,}")
    click.echo(f"starts     {found.starts:,}")
    for name, count, size in found.largest:
        click.echo(f"{count:>10,} events {size:>14,} bytes  {json.dumps(name, ensure_ascii=False)}")


@log.command()
@_source
@_file
@click.option("--after", metavar="ID", help="Export the events after this id.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; if it has events of an earlier export, go on after the last of them, and complete a "
    "line that was cut off.",
)
def export(url: str | None, config: Path | None, after: str | None, output: Path | None) -> None:
    """Write events as lines of JSON, the oldest first.

    A server may use the file at the same time; the export ends with the newest event at its start.
    """
    position = EARLIEST
    if after is not None:
        try:
            position = parse_event_id(after, field="--after")
        except InvalidField as error:
            raise click.UsageError(error.detail) from error
    path = _path(url, config)
    _or_fail(lambda: archive.check(path))
    if output is None:
        _export(path, position, sys.stdout.buffer)
        return
    try:
        with output.open("ab+") as file:
            position = max(position, _cut_to_last_event(file))
            _export(path, position, file)
    except OSError as error:
        raise click.ClickException(f"{output}: {error.strerror or error}") from error


def _export(path: str, after: EventId, file: IO[bytes]) -> None:
    total = _or_fail(lambda: archive.count_after(path, after))
    progress = _Progress("exported", total)
    done = 0
    for page in _iterate(archive.export(path, after)):
        for event_id in page.damaged:
            click.echo(f"the event {event_id} is damaged and was left out", err=True)
        file.write(page.lines)
        file.flush()
        done += page.count
        progress.note(done)
    progress.end(done)


def _no_event(line: bytes) -> click.ClickException:
    text = line[:60].decode(errors="replace").rstrip("\n")
    return click.ClickException(
        f"the output has a line that is no event, and was left as it is: {json.dumps(text)}"
    )


def _cut_to_last_event(file: IO[bytes]) -> EventId:
    """Cut a file after its last whole line, and return the id of the event there.

    Raises:
        click.ClickException: it has something else than events. It was not changed.
    """
    last = EARLIEST
    end = 0
    file.seek(0)
    for line in file:
        if not line.endswith(b"\n"):
            if not (line.startswith(_EVENT_BEGINS) or _EVENT_BEGINS.startswith(line)):
                raise _no_event(line)
            break
        end += len(line)
        if line.strip():
            try:
                last = parse_event_id(str(json.loads(line)["id"]))
            except (ValueError, KeyError, TypeError, RecursionError, InvalidField) as error:
                raise _no_event(line) from error
    file.seek(end)
    file.truncate()
    return last


@log.command("import")
@_source
@_file
@click.argument("input", type=click.File("rb", lazy=False), default="-")
def import_(url: str | None, config: Path | None, input: IO[bytes]) -> None:
    """Import the lines of an export into a file that no server uses.

    INPUT is a file, or - for standard input. All events are imported or, after an error or Ctrl-C, none.

    Events keep their ids; those that the log has are skipped. The others must be newer than everything that
    the log has. Their age counts from the import.
    """
    path = _path(url, config)
    lock = FileLock(DatabaseFile(path, "log.url"))
    try:
        trio.run(lock.acquire, 0.0)
    except ConfigError as error:
        raise click.ClickException(error.detail) from error
    try:
        work = Import(path, utc_now())
        progress = _Progress("imported", None)
        with closing(work.run(input)) as steps:
            for _ in _iterate(steps):
                progress.note(work.imported)
        progress.end(work.imported, f"{work.skipped:,} were there already" if work.skipped else "")
    finally:
        lock.release()


@log.command()
@_source
@_file
@click.argument("target", type=click.Path(path_type=Path))
def backup(url: str | None, config: Path | None, target: Path) -> None:
    """Copy the file while a server may use it; TARGET must not exist.

    The copy is of one moment: a file for log.url, and with the tasks and their results, if they are in the
    same file, for store.url.
    """
    path = _path(url, config)
    size = _or_fail(lambda: archive.back_up(path, str(target)))
    click.echo(f"{target}: {size:,} bytes", err=True)


def _path(url: str | None, config: Path | None) -> str:
    settings = with_store(load(Settings, config, overrides={"log.url": url}).settings)
    path = log_path(settings.store, settings.log)
    if path is None:
        raise click.ClickException(_MEMORY)
    return path


class _Progress:
    """Lines of progress on standard error, at most one a second.

    Args:
        verb: what is done to events.
        total: number of events; None if it is not known.
    """

    def __init__(self, verb: str, total: int | None) -> None:
        self._verb = verb
        self._of = "" if total is None else f" of {total:,}"
        self._began = self._noted = time.monotonic()

    def note(self, done: int) -> None:
        """Print the number of events done, if it is time."""
        now = time.monotonic()
        if now - self._noted >= _NOTE_SECONDS:
            self._noted = now
            click.echo(f"{self._verb} {done:,}{self._of} events", err=True)

    def end(self, done: int, more: str = "") -> None:
        """Print the number of events and the time they took."""
        seconds = time.monotonic() - self._began
        click.echo(
            f"{self._verb} {done:,} events in {seconds:.1f} s" + (f"; {more}" if more else ""), err=True
        )


def _iterate(steps: Iterator[T]) -> Iterator[T]:
    """Iterate, and turn an error of the file into a message and status 1."""
    try:
        yield from steps
    except archive.ArchiveError as error:
        raise click.ClickException(error.detail) from error


def _or_fail(read: Callable[[], T]) -> T:
    """Call a function, and turn an error of the file into a message and status 1."""
    try:
        return read()
    except archive.ArchiveError as error:
        raise click.ClickException(error.detail) from error
