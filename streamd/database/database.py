"""The database: a writer that batches transactions, and a reader beside it, each in a thread of its own.

Theory of operation
-------------------
One connection writes. The writes of all callers that are queued when it is free share one transaction (group
commit), each in a savepoint of its own, so that one that fails takes nothing else with it::

    write(work) ─┐
    write(work) ─┼─ queue ── one transaction ── commit ── committed(result) of each, in order ── callers wake
    write(work) ─┘

1. ``committed`` is called on trio's thread before any caller wakes, in the order of the transactions: what is
   announced there is announced in the order in which it is stored. :meth:`Database.read` waits for it, too:
   its caller knows no transaction that is not announced.
2. A second connection, read-only, reads beside the writer (:meth:`Database.read_beside`), one read at a time.
   It sees whole transactions, and may see one whose ``committed`` has not been called yet. A read begins
   after the transaction that runs, or a few milliseconds later: what its caller computes in Python with the
   result would keep the writer's thread from the interpreter, several times in each transaction.
3. SQLite's write-ahead log is copied into the file (a checkpoint) at a thousand pages. It can only
   start again from its beginning when no reader uses it: the checkpoint waits for the present read, and the
   next reads wait for the checkpoint, so that neither starves. A reader
   of another process may delay it, and so let the log grow: then there are warnings.
4. Another process may read the file at the same time, never write it: a lock on the file ``PATH-lock`` keeps
   a second streamd out. If one does lock it for writing, such as a shell, each transaction waits for it
   for the busy timeout at its beginning, and then all its writes fail as unavailable.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import apsw
import structlog
import trio

from ..clock import ClockRecord, SteadyClock
from ..errors import Unavailable
from ..unreadable import UnreadableRecords
from .batch import Work, Write, commit_batch
from .clock_table import CLOCK_TABLE, read_clock, store_clock
from .failures import as_unavailable, log_failure, log_failures
from .file import DatabaseFile, FileLock, read_versions
from .room import StorageRoom
from .settings import MEMORY
from .upkeep import (
    BUSY_TIMEOUT_MS,
    copy_wal,
    migrate,
    prepare_reader,
    reclaim,
    use_incremental_vacuum,
    used_bytes,
)

T = TypeVar("T")

_BATCH_MAX: Final = 256  # writes in one transaction: enough to share a commit, and done in a few milliseconds
_CHECKPOINT_PAGES: Final = 1000  # of the write-ahead log: 4 MB, copied in some ten milliseconds
_GIVE_WAY_SECONDS: Final = 0.005  # of a read to a transaction: longer than almost any
_WAL_KEPT_BYTES: Final = 64 << 20  # a larger write-ahead log is cut to this after a checkpoint
_WAL_WARNING_PAGES: Final = 16_384  # 64 MB that another process keeps from being copied, then twice as much

_log = structlog.get_logger(__name__)


class Database:
    """A SQLite file in WAL mode, written by this process alone.

    Args:
        path: path of the file, created if it is missing; ``:memory:`` for a database without a file.
        synchronous: durability of a write: ``normal`` survives a crash of the process, ``full`` that of the
            machine, too.
        busy_timeout_ms: time to wait for another process to close the file (ms).
        clock: continues from the record in the file, and is recorded there with the writes of others; by
            default a clock of the database's own.
        keeps_clock: False leaves the clock's start and record to another database.
        setting: the setting that names the file, for errors.

    Attributes:
        room: the size of the pages in use, and the bound for writes that add much; none at first.
        clock: the steady clock, for times that are compared later.
        unreadable: the records that were found damaged.
        identity: device and inode of the file, once it is open; None without a file.
        observe_write: called after each write with its time from the call to the commit (s).
    """

    def __init__(
        self,
        path: str = MEMORY,
        *,
        synchronous: str = "normal",
        busy_timeout_ms: int = BUSY_TIMEOUT_MS,
        clock: SteadyClock | None = None,
        keeps_clock: bool = True,
        setting: str = "store.url",
    ) -> None:
        self.path: Final = path
        self._file = DatabaseFile(path, setting)
        self.clock: Final = clock or SteadyClock()
        self.room: Final = StorageRoom(path)
        self.unreadable: Final = UnreadableRecords()
        self.identity: tuple[int, int] | None = None
        self.observe_write: Callable[[float], None] = lambda _: None
        self._synchronous = synchronous
        self._busy_timeout_ms = busy_timeout_ms
        self._keeps_clock = keeps_clock
        self._migrations: dict[str, Sequence[str]] = {}
        self._connection: Any = None
        self._reader: Any = None  # None without a file: then the writer reads, too
        self._reading = trio.Lock()  # held by each read of the reader, and by checkpoints
        self._wal_pages = 0  # after the last commit
        self._checkpoint_at = _CHECKPOINT_PAGES
        self._warn_at = _WAL_WARNING_PAGES
        self._opened = trio.Event()
        self._queue: deque[Write[Any]] = deque()
        self._has_writes = trio.Event()
        self._commits = 0  # transactions, counted in the database's thread
        self._writing = False  # True from the begin of a transaction until its results are announced
        self._announced = 0  # those of them whose results were announced
        self._announcing = trio.Event()  # replaced with each announcement
        self._closed = False

    def require(self, component: str, migrations: Sequence[str]) -> None:
        """Declare the migrations of a component: SQL scripts, each applied once, in order.

        Add scripts to the end of the list; never change or remove one.
        """
        assert not self._opened.is_set(), "declare migrations before the database is opened"
        self._migrations[component] = migrations

    def check(self) -> None:
        """Check that :meth:`run` can open the file, or create it, without changing anything.

        Raises:
            ConfigError: see :meth:`.file.DatabaseFile.check`.
        """
        try:
            self._file.check(self._migrations)
        except OSError as error:  # the system refuses to look it up, such as a name that is too long
            raise self._file.refused(error.strerror or str(error)) from error

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Open the file, and commit writes until cancelled. Cancelling commits the queued writes first.

        Raises:
            ConfigError: the file cannot be opened, another process has it, it is no database, or a newer
                streamd made it.
        """
        lock = FileLock(self._file)
        await lock.acquire(self._busy_timeout_ms / 1000)
        try:
            connection = await apsw.Connection.as_async(self.path)
        except BaseException as error:
            lock.release()
            if isinstance(error, apsw.Error):
                raise self._file.unusable(error) from error
            raise
        try:
            try:
                clock_record = await connection.async_run(self._prepare, connection)
                if self.path != MEMORY:
                    self._reader = await apsw.Connection.as_async(self.path, flags=apsw.SQLITE_OPEN_READONLY)
                    await self._reader.async_run(prepare_reader, self._reader)
                if self._keeps_clock:
                    self.clock.resume(clock_record)
                    if (record := self.clock.due_record()) is not None:
                        await connection.async_run(store_clock, record, connection)
                        self.clock.note_recorded(record)
            except apsw.Error as error:
                raise self._file.unusable(error) from error
            self._connection = connection
            self._opened.set()
            task_status.started()
            while True:
                await self._has_writes.wait()
                await self._write_batch()
                if self._wal_pages >= self._checkpoint_at:
                    await self._checkpoint()
        finally:
            self._closed = True
            with trio.CancelScope(shield=True):
                while self._queue and self._connection is not None:
                    await self._write_batch()
                if self._opened.is_set():
                    await self._write_batch()  # without writes: the clock's record, if that is due
                if self._reader is not None:
                    async with self._reading:
                        await self._reader.aclose()
                await connection.aclose()
                lock.release()
        raise AssertionError("the database writes until it is cancelled")

    def _prepare(self, connection: apsw.Connection) -> ClockRecord | None:
        """Set up the connection, apply missing migrations, and read the record of the clock."""
        if self.path != MEMORY:
            status = Path(self.path).stat()
            self.identity = status.st_dev, status.st_ino
        connection.set_busy_timeout(self._busy_timeout_ms)
        use_incremental_vacuum(connection, self.path)
        connection.pragma("journal_mode", "WAL")
        connection.pragma("journal_size_limit", _WAL_KEPT_BYTES)
        connection.pragma("synchronous", self._synchronous)
        connection.pragma("foreign_keys", True)
        # A transaction waits for the lock of another process once, at its beginning: each of its writes would
        # wait for it otherwise, and one that read first could not get it at all.
        connection.transaction_mode = "IMMEDIATE"
        connection.wal_autocheckpoint(0)
        connection.set_wal_hook(self._note_wal_pages)
        with connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS migrations (component TEXT PRIMARY KEY, version INTEGER NOT NULL)"
            )
            connection.execute(CLOCK_TABLE)
            versions = read_versions(connection)
            for component, scripts in self._migrations.items():
                version = versions.get(component, 0)
                self._file.check_version(component, version, scripts)
                migrate(connection, component, scripts[version:], len(scripts))
        self.room.note(used_bytes(connection))
        return read_clock(connection)

    def _note_wal_pages(self, connection: apsw.Connection, name: str, pages: int) -> int:
        self._wal_pages = pages
        return int(apsw.SQLITE_OK)

    async def write(self, work: Work[T], *, committed: Callable[[T], None] | None = None) -> T:
        """Run ``work`` in a transaction, and return its result after the commit.

        If ``work`` raises, its changes are rolled back, and the caller gets the exception. ``work`` runs in
        another thread, so it must not use objects of trio.

        Args:
            work: takes the connection; its result is that of the write.
            committed: called with the result on trio's thread, in the order of the commits, also when the
                caller was cancelled meanwhile. It must neither block nor raise.

        Cancelling takes effect only while the write is queued; a write that has begun is committed.

        Raises:
            Unavailable: the database is closed, or the disk failed.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._closed:
            raise Unavailable("the store is closed", retry_after_seconds=1)
        began = time.perf_counter()
        write = Write(work, committed)
        self._queue.append(write)
        self._has_writes.set()
        try:
            await write.done.wait()
        except trio.Cancelled:
            if write in self._queue:
                self._queue.remove(write)
                raise
            with trio.CancelScope(shield=True):
                await write.done.wait()
        self.observe_write(time.perf_counter() - began)
        error, write.error = write.error, None  # whose frames refer to the write
        if error is not None:
            try:
                raise error
            finally:
                del error
        return write.result  # type: ignore[return-value]

    async def read(self, work: Work[T]) -> T:
        """Run ``work``, which only reads, between two transactions, and return its result.

        Raises:
            Unavailable: the database is closed, or the disk failed.
        """
        try:
            return await self.run_alone(work)
        except apsw.Error as error:
            log_failure(error)
            raise as_unavailable(error) from error

    async def read_beside(self, work: Work[T]) -> T:
        """Run ``work``, which only reads, on the reader's connection, and return its result.

        It does not delay writes. It should be one statement, or a transaction of a few, that takes
        milliseconds, and spend them in SQLite: computing in Python would delay trio's thread.

        Raises:
            Unavailable: the database is closed, or the disk failed.
        """
        await self._opened.wait()
        if self._reader is None:
            return await self.read(work)
        async with self._reading:
            if self._writing:
                with trio.move_on_after(_GIVE_WAY_SECONDS):
                    await self._announcing.wait()
            if self._closed:
                raise Unavailable("the store is closed", retry_after_seconds=1)
            try:
                result: T = await self._reader.async_run(work, self._reader)
            except apsw.Error as error:
                log_failure(error)
                raise as_unavailable(error) from error
        return result

    async def reclaim(self) -> None:
        """Give some free pages of the file back to the file system, if it has more than it will soon need.

        Raises:
            Unavailable: the database is closed, or the disk failed.
        """
        if self.path != MEMORY:
            await self.read(reclaim)

    async def run_alone(self, work: Work[T]) -> T:
        """Run ``work`` between two transactions, and return its result; SQLite's own errors are raised.

        Raises:
            Unavailable: the database is closed.
        """
        await self._opened.wait()
        if self._closed:
            raise Unavailable("the store is closed", retry_after_seconds=1)
        connection = self._connection
        result: T
        result, commits = await connection.async_run(lambda: (work(connection), self._commits))
        while self._announced < commits:  # trio may wake this reader before the writer
            await self._announcing.wait()
        return result

    async def _write_batch(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), _BATCH_MAX))]
        if not self._queue:
            self._has_writes = trio.Event()
        if self._keeps_clock and (record := self.clock.due_record()) is not None:
            note = self.clock.note_recorded
            batch.append(Write(partial(store_clock, record), lambda _: note(record)))
        self._writing = True
        with trio.CancelScope(shield=True):
            try:
                await self._connection.async_run(self._commit, batch)
            except Exception as error:  # noqa: BLE001 - the callers of all these writes get it
                for write in batch:
                    write.error = error
        try:
            for write in batch:
                if write.error is None and write.committed is not None:
                    write.committed(write.result)
        finally:  # the callers wait in a shield
            self._announced = self._commits
            self._writing = False
            self._announcing.set()
            self._announcing = trio.Event()
            log_failures(batch)
            for write in batch:
                if isinstance(write.error, apsw.Error):
                    unavailable = as_unavailable(write.error)
                    unavailable.__cause__ = write.error
                    write.error = unavailable
                write.done.set()

    def _commit(self, batch: list[Write[Any]]) -> None:
        commit_batch(self._connection, batch)
        self._commits += 1
        with suppress(apsw.Error):  # of a failing disk: what was committed stays so
            self.room.note(used_bytes(self._connection))

    async def _checkpoint(self) -> None:
        """Copy the write-ahead log into the file while the reader is idle."""
        async with self._reading:
            with trio.CancelScope(shield=True):
                try:
                    in_log, copied = await self._connection.async_run(copy_wal, self._connection)
                except apsw.Error as error:  # tried again; the writes themselves are safe
                    _log.warning("checkpoint_failed", error=repr(error))
                    in_log, copied = self._wal_pages, 0
        # Pages that a reader of another process still needs are copied some writes later.
        self._checkpoint_at = _CHECKPOINT_PAGES + (0 if copied >= in_log else self._wal_pages)
        if copied >= in_log:
            self._warn_at = _WAL_WARNING_PAGES
        elif in_log >= self._warn_at:
            self._warn_at = 2 * in_log
            _log.warning("write_ahead_log_grows", path=self.path, pages=in_log, copied=copied)
        self._wal_pages = 0
