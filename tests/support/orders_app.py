"""An application for ``streamd serve --app`` whose log records in a file each event that it takes.

The memory log forgets its events at the end of the process; the file survives ``kill -9``.
"""

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec
import trio
from quart_trio import QuartTrio

from streamd import create_app
from streamd.events import Draft
from streamd.log.memory import MemoryLog
from streamd.log.port import Condition
from streamd.log.settings import LogSettings
from streamd.settings import Settings

READY: Final = "the log is open"
"""The line on standard output that precedes the use of the database."""

_MAX_DELAY_SECONDS: Final = 0.005


def record_of(database: Path) -> Path:
    """Return the file that records the events of a server with this database."""
    return database.with_name("events.jsonl")


class RecordingLog(MemoryLog):
    """A memory log that is slow, as one behind a network is, and writes the events it takes to a file.

    Delays before and after the events are taken let a ``kill -9`` fall into these moments. Each call of
    :meth:`append` is one write, and each process begins with a line of its own.

    Args:
        settings: of the log.
        path: of the file.
    """

    def __init__(self, settings: LogSettings, path: Path) -> None:
        super().__init__(settings)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(self._file, b'\n{"process":%d}\n' % os.getpid())  # the line before may be cut off

    async def append(
        self, drafts: Sequence[Draft], conditions: Sequence[Condition] = (), *, publisher: str = ""
    ) -> Any:
        await trio.sleep(random.uniform(0, _MAX_DELAY_SECONDS))
        receipts = await super().append(drafts, publisher=publisher)
        fresh = [draft for draft, receipt in zip(drafts, receipts, strict=True) if not receipt.duplicate]
        os.write(self._file, b"".join(_encode(publisher, draft) for draft in fresh))
        with trio.CancelScope(shield=True):  # the events are taken
            await trio.sleep(random.uniform(0, _MAX_DELAY_SECONDS))
        return receipts


def _encode(publisher: str, draft: Draft) -> bytes:
    fields = {
        "publisher": publisher,
        "key": draft.idempotency_key,
        "topics": draft.topics,
        "type": draft.type,
        "data": msgspec.Raw(draft.data.encode()),
    }
    return msgspec.json.encode(fields) + b"\n"


def make(settings: Settings) -> QuartTrio:
    """Make the application."""
    path = Path(settings.store.url.removeprefix("sqlite:"))
    app = create_app(settings, log=RecordingLog(settings.log, record_of(path)))
    click.echo(READY)
    return app
