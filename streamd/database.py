"""One SQLite file for all that has to outlive the process: migrations, and a writer that batches.

Whoever keeps something here names its tables' migrations with :meth:`Database.require` before the
database is opened, and hands over functions that work on a plain ``apsw.Connection``. They run in the
connection's own thread, one after the other, so what a function reads cannot change under it. Writes
that are asked for at the same time share one transaction, and so one commit; each has a savepoint of
its own, so that one that fails takes nothing back of the others.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Generic, NoReturn, TypeVar

import apsw
import apsw.bestpractice
import attrs
import structlog
import trio

from .config import Clash, one_of, setting
from .errors import ConfigError, Unavailable

T = TypeVar("T")
Work = Callable[[apsw.Connection], T]

MEMORY: Final = ":memory:"
KNOWN_STORE_URLS: Final = ("sqlite:PATH", "memory:")
_BATCH_MAX: Final = 256  # writes in one transaction: so many that a commit is cheap, so few that it ends soon
_BUSY_MS: Final = 2000  # another process may be about to let go of the file

_log = structlog.get_logger(__name__)


@attrs.frozen(kw_only=True)
class StoreSettings:
    """The database of tasks, orders and items."""

    url: str = setting(
        "",
        "sqlite:PATH keeps them in a file that one streamd uses alone; memory: in this process only. Empty: "
        "sqlite:streamd.db in the working directory for `streamd serve`, memory: for an application of your "
        "own.",
    )
    synchronous: str = setting(
        "normal",
        "Durability of a write: normal survives a crash of the process, full that of the machine, too.",
        one_of("normal", "full"),
    )

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions within the section."""
        scheme, _, path = self.url.partition(":")
        if self.url and (scheme, bool(path)) not in (("memory", False), ("sqlite", True)):
            yield Clash(("url",), "must be one of the known stores: " + ", ".join(KNOWN_STORE_URLS))


class _Write(Generic[T]):
    """One write that waits for its turn, and what became of it."""

    __slots__ = ("done", "error", "result", "work")

    def __init__(self, work: Work[T]) -> None:
        self.work = work
        self.done = trio.Event()
        self.result: T | None = None
        self.error: BaseException | None = None


class Database:
    """A SQLite file that this process has to itself, in WAL mode.

    Args:
        path: of the file, made when it is missing; ``:memory:`` for one that ends with the process.
        synchronous: ``normal`` survives the end of the process, ``full`` that of the machine, too.

    Attributes:
        seconds: what the last writes took, from the asking to the commit (s), for metrics.
    """

    def __init__(self, path: str = MEMORY, *, synchronous: str = "normal") -> None:
        self.path: Final = path
        self.seconds: Callable[[float], None] = lambda _: None
        self._synchronous = synchronous
        self._migrations: dict[str, Sequence[str]] = {}
        self._connection: Any = None
        self._opened = trio.Event()
        self._waiting: deque[_Write[Any]] = deque()
        self._wanted = trio.Event()
        self._closed = False

    def require(self, component: str, migrations: Sequence[str]) -> None:
        """Name the tables of a component: SQL scripts, applied once each, in order; only ever add some."""
        assert not self._opened.is_set(), "migrations are named before the database is opened"
        self._migrations[component] = migrations

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Open the file and write until cancelled; what was asked for by then is still written.

        Raises:
            ConfigError: the file cannot be opened, is another process's, or of a newer streamd.
        """
        try:
            connection = await apsw.Connection.as_async(self.path)
        except apsw.Error as error:
            raise self._unusable(error) from error
        try:
            try:
                await connection.async_run(self._prepare, connection)
            except apsw.Error as error:
                raise self._unusable(error) from error
            self._connection = connection
            self._opened.set()
            task_status.started()
            while True:
                await self._wanted.wait()
                await self._write_batch()
        finally:
            self._closed = True
            with trio.CancelScope(shield=True):
                while self._waiting and self._connection is not None:
                    await self._write_batch()
                await connection.aclose()
        raise AssertionError("the database writes until it is cancelled")

    def _unusable(self, error: apsw.Error) -> ConfigError:
        busy = "; another process has it" if isinstance(error, apsw.BusyError) else ""
        return ConfigError(f"store.url: {self.path} cannot be used: {error}{busy}", field="store.url")

    def _prepare(self, connection: apsw.Connection) -> None:
        connection.set_busy_timeout(_BUSY_MS)
        connection.pragma("locking_mode", "EXCLUSIVE")
        connection.pragma("journal_mode", "WAL")
        connection.pragma("synchronous", self._synchronous)
        connection.pragma("foreign_keys", True)
        with connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS migrations (component TEXT PRIMARY KEY, version INTEGER NOT NULL)"
            )
            for component, scripts in self._migrations.items():
                _migrate(connection, component, scripts)

    async def write(self, work: Work[T]) -> T:
        """Run ``work`` in a transaction, and return what it returns once that is committed.

        ``work`` may raise: then nothing of it stays, and the caller gets the exception. It runs in
        another thread: it must not touch what trio owns.

        Cancelled before it was begun, or not at all: from then on it waits for the commit.

        Raises:
            Unavailable: the database is closed, or its disk does not take the write.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._closed:
            raise Unavailable("the store is closed", retry_after_seconds=1)
        asked = time.perf_counter()
        write = _Write(work)
        self._waiting.append(write)
        self._wanted.set()
        try:
            await write.done.wait()
        except trio.Cancelled:
            if write in self._waiting:
                self._waiting.remove(write)
                raise
            with trio.CancelScope(shield=True):
                await write.done.wait()
        self.seconds(time.perf_counter() - asked)
        if write.error is not None:
            raise write.error
        return write.result  # type: ignore[return-value]

    async def read(self, work: Work[T]) -> T:
        """Run ``work``, which only reads, between two transactions, and return what it returns.

        Raises:
            Unavailable: the database is closed, or its disk does not give what is asked for.
        """
        await self._opened.wait()
        if self._closed:
            raise Unavailable("the store is closed", retry_after_seconds=1)
        connection = self._connection
        try:
            result: T = await connection.async_run(work, connection)
        except apsw.Error as error:
            raise _refused(error) from error
        return result

    async def _write_batch(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH_MAX))]
        if not self._waiting:
            self._wanted = trio.Event()
        with trio.CancelScope(shield=True):
            try:
                await self._connection.async_run(_commit, self._connection, batch)
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must learn of it
                for write in batch:
                    write.error = error
        for write in batch:
            if isinstance(write.error, apsw.Error):
                refused = _refused(write.error)
                refused.__cause__ = write.error
                write.error = refused
            write.done.set()


def _commit(connection: apsw.Connection, batch: list[_Write[Any]]) -> None:
    """All writes of a batch in one transaction; if that cannot be committed, none of them was made."""
    try:
        with connection:
            for write in batch:
                try:
                    with connection:  # a savepoint
                        write.result = write.work(connection)
                except Exception as error:  # whatever it is belongs to who asked
                    write.error = error
                    if not connection.in_transaction:
                        # SQLite took back all of it, as it may on a full disk: the next would be on its own.
                        raise _TakenBack from error
    except (apsw.Error, _TakenBack) as error:
        failed = error if isinstance(error, apsw.Error) else apsw.AbortError("the transaction was taken back")
        for write in batch:
            write.error = write.error or failed


class _TakenBack(Exception):
    """The transaction is over, before its end."""


def _refused(error: apsw.Error) -> Unavailable:
    first: BaseException = error
    while first.__context__ is not None:  # what went wrong first says most
        first = first.__context__
    _log.error("store_failed", error=repr(first))
    return Unavailable("the store cannot take this just now", retry_after_seconds=1)


def _migrate(connection: apsw.Connection, component: str, scripts: Sequence[str]) -> None:
    row = connection.execute("SELECT version FROM migrations WHERE component = ?", (component,)).fetchone()
    version = int(row[0]) if row else 0
    if version > len(scripts):
        raise ConfigError(
            f"store.url: the tables of {component} are of version {version}, made by a newer streamd;"
            f" this one knows {len(scripts)}",
            field="store.url",
        )
    for script in scripts[version:]:
        connection.execute(script)
    connection.execute("INSERT OR REPLACE INTO migrations VALUES (?, ?)", (component, len(scripts)))
