"""Where analyses wait until they begin: too much for a task's input, which is read with every change."""

import secrets
import time
from typing import Final, NoReturn

import apsw
import structlog
import trio

from ...database import Database
from ...errors import Gone, NotFound
from ...tasks import Tasks

MIGRATIONS: Final = (
    """
    CREATE TABLE brand_monitor_waiting (
        handle TEXT PRIMARY KEY,
        task TEXT NOT NULL,
        at INTEGER NOT NULL,            -- seconds since 1970
        packed BLOB NOT NULL
    );
    """,
)
SWEEP_SECONDS: Final = 60.0  # an analysis that never begins is rare: it was cancelled, or too late

_log = structlog.get_logger(__name__)


class WaitingRoom:
    """Keeps what is to be analysed from the request to the beginning of the work, also over a restart.

    Args:
        database: where.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        database.require("brand_monitor", MIGRATIONS)

    async def put(self, task_id: str, packed: bytes) -> str:
        """Keep the analysis of a task that is about to be made; returns the handle to take it by."""
        handle = secrets.token_hex(12)
        row = (handle, task_id, int(time.time()), packed)

        def put(db: apsw.Connection) -> None:
            db.execute("INSERT INTO brand_monitor_waiting VALUES (?, ?, ?, ?)", row)

        await self._database.write(put)
        return handle

    async def take(self, handle: str) -> bytes | None:
        """An analysis, which is not kept any longer; None when there is none by that handle."""

        def take(db: apsw.Connection) -> bytes | None:
            row = db.execute(
                "DELETE FROM brand_monitor_waiting WHERE handle = ? RETURNING packed", (handle,)
            ).fetchone()
            return row[0] if row else None

        return await self._database.write(take)

    async def count(self) -> int:
        """How many wait."""

        def count(db: apsw.Connection) -> int:
            [(rows,)] = db.execute("SELECT count(*) FROM brand_monitor_waiting")
            return int(rows)

        return await self._database.read(count)

    async def run(self, tasks: Tasks) -> NoReturn:
        """Forget what no task will take any more, time and again, until cancelled."""
        while True:
            try:
                await self.sweep(tasks, older_than_seconds=SWEEP_SECONDS)
            except Exception:  # noqa: BLE001 - it is tried again, and is in the log
                _log.exception("waiting_not_swept")
            await trio.sleep(SWEEP_SECONDS)

    async def sweep(self, tasks: Tasks, *, older_than_seconds: float) -> None:
        """Forget those of tasks that ended before they began, or never were made.

        Args:
            older_than_seconds: leave newer ones alone: their task may be made any moment.
        """
        before = int(time.time() - older_than_seconds)

        def find(db: apsw.Connection) -> list[tuple[str, str]]:
            query = "SELECT handle, task FROM brand_monitor_waiting WHERE at <= ?"
            return [(str(handle), str(task)) for handle, task in db.execute(query, (before,))]

        for handle, task_id in await self._database.read(find):
            if not await _waits(tasks, task_id, handle):
                await self.take(handle)


async def _waits(tasks: Tasks, task_id: str, handle: str) -> bool:
    try:
        task = await tasks.get(task_id)
        given = await tasks.input(task_id)
    except (NotFound, Gone):
        return False
    return not task.status.ended and isinstance(given, dict) and given.get("handle") == handle
