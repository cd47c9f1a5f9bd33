"""A database of numbers, and concurrent writes to it."""

import threading
from collections.abc import Callable
from typing import Any

import apsw
import trio
import trio.testing

from streamd.clock import SteadyClock
from streamd.database import MEMORY, Database

TABLE = "CREATE TABLE numbers (n INTEGER PRIMARY KEY, padding BLOB)"
INSERT = "INSERT INTO numbers VALUES (?, ?)"


def insert(n: int, padding: int = 0) -> Callable[[apsw.Connection], int]:
    """Make a write that inserts a number with padding of zero bytes, and returns the number."""

    def work(db: apsw.Connection) -> int:
        db.execute(INSERT, (n, bytes(padding)))
        return n

    return work


async def numbers(database: Database) -> list[int]:
    """Read all numbers."""
    return await database.read(lambda db: [row[0] for row in db.execute("SELECT n FROM numbers ORDER BY n")])


def make_database(path: str = MEMORY, clock: SteadyClock | None = None) -> Database:
    """Make a database with the table, which does not run yet."""
    database = Database(path, clock=clock)
    database.require("test", [TABLE])
    return database


class Hold:
    """A write that keeps the database's thread busy, so that the writes behind it form one batch."""

    def __init__(self) -> None:
        self.begun = trio.Event()
        self._may_end = threading.Event()
        self._token = trio.lowlevel.current_trio_token()

    def __call__(self, db: apsw.Connection | None = None) -> None:
        self._token.run_sync_soon(self.begun.set)
        assert self._may_end.wait(30)

    def release(self) -> None:
        """Let the thread go on."""
        self._may_end.set()


class Writes:
    """Concurrent writes and their outcomes: the result, or the class of the error."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.outcomes: dict[int, Any] = {}

    async def write(self, index: int, work: Callable[[apsw.Connection], Any]) -> None:
        """Write, and record the outcome."""
        try:
            self.outcomes[index] = await self.database.write(work)
        except Exception as error:  # noqa: BLE001 - the test checks which one
            self.outcomes[index] = type(error)

    async def together(self, *works: Callable[[apsw.Connection], Any]) -> list[Any]:
        """Run writes in one batch, and return their outcomes in order."""
        hold = Hold()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.write, -1, hold)
            await hold.begun.wait()
            for index, work in enumerate(works):
                nursery.start_soon(self.write, index, work)
                await trio.testing.wait_all_tasks_blocked()
            hold.release()
        return [self.outcomes[index] for index in range(len(works))]
