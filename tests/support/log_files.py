"""The file of a log without a server, filled and read by tests."""

from pathlib import Path
from typing import Any

from streamd.events import EARLIEST, Event, EventId
from streamd.events.topics import ALL
from streamd.log.sqlite import archive
from tests.support.logs import draft, read, sqlite_log


def exported(path: Path, after: EventId = EARLIEST) -> list[bytes]:
    return b"".join(page.lines for page in archive.export(str(path), after)).splitlines(keepends=True)


async def make_file(path: Path, count: int = 3) -> list[EventId]:
    """Make a log with events of every kind of data, and return their ids."""
    kinds: list[Any] = ["text\nof two lines", b"\xff\x00", {"n": 1.50}, [], None, ""]
    async with sqlite_log(path) as log:
        drafts = [
            draft(["all", f"t/{n % 3}"], kinds[n % 6], type="odd" if n % 2 else None) for n in range(count)
        ]
        return [receipt.id for receipt in await log.append(drafts)] if drafts else []


async def events_of(path: Path, after: EventId = EARLIEST) -> list[Event]:
    """Read all events as a server does."""
    async with sqlite_log(path) as log:
        page = await read(log, ALL, after)
        assert page.gap is None
        return list(page.events)
