"""The probe of the store: can it be read and written now?"""

import os
from pathlib import Path
from typing import Final, NoReturn

import apsw
import structlog
import trio

from ..errors import Unavailable
from .database import Database
from .settings import MEMORY

_FRESH_SECONDS: Final = 1.0  # a result is this old at most: clients that ask more often cost nothing
_TIMEOUT_SECONDS: Final = 2.0  # probes of orchestrators often wait no longer
_ROOM_BYTES: Final = 65_536  # more than a usual write needs
_FREE_BYTES_MIN: Final = 4 * _ROOM_BYTES  # of the disk: its last blocks are not for one writer alone
_FAILING: Final = "its disk fails"
_REASONS: Final[tuple[tuple[type[apsw.Error], str], ...]] = (
    (apsw.FullError, "its disk is full"),
    (apsw.ReadOnlyError, "it cannot be written to"),
    (apsw.CorruptError, "it is damaged"),
    (apsw.BusyError, "another process has locked it"),
)

_log = structlog.get_logger(__name__)


class StoreProbe:
    """Probes the store when it is asked, at most once a second, so that it recovers by itself.

    Args:
        database: the store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wanted = trio.Event()
        self._probed = trio.Event()  # replaced at each request for a new result
        self._probed_at = -_FRESH_SECONDS
        self._reason = ""  # empty: the store works

    async def run(self) -> NoReturn:
        """Probe on request until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            self._note(await self._probe())
            self._probed_at = trio.current_time()
            self._probed.set()

    async def check(self) -> None:
        """Check that the store works, by a result that is at most a second old.

        Raises:
            Unavailable: it does not, with the reason as a sentence for clients.
        """
        if self._probed.is_set() and trio.current_time() - self._probed_at >= _FRESH_SECONDS:
            self._probed = trio.Event()
        if not self._probed.is_set():
            self._wanted.set()
        with trio.move_on_after(_TIMEOUT_SECONDS) as waiting:
            await self._probed.wait()
        reason = "it does not answer" if waiting.cancelled_caught else self._reason
        if reason:
            raise Unavailable(f"the store cannot be used: {reason}", retry_after_seconds=_FRESH_SECONDS)

    async def _probe(self) -> str:
        try:
            return await self._database.run_alone(self._try_out)
        except (OSError, Unavailable):  # the file system does not answer; the store is closed
            return _FAILING
        except apsw.Error as error:
            return next((text for kind, text in _REASONS if isinstance(error, kind)), _FAILING)

    def _try_out(self, connection: apsw.Connection) -> str:
        """Write and read; return the reason for which that will fail soon, or an empty one."""
        if self._database.path != MEMORY and (reason := self._look_at_file()):
            return reason
        with connection:
            connection.execute("SELECT count(*) FROM migrations").fetchall()
            connection.pragma("user_version", 1 - int(connection.pragma("user_version") == 1))
        connection.execute("SAVEPOINT probe")
        try:  # room for new pages; nothing of this is committed
            connection.execute("INSERT INTO migrations VALUES (hex(zeroblob(?)), 0)", (_ROOM_BYTES // 2,))
        finally:
            if connection.in_transaction:  # SQLite itself rolls back when the disk is full
                connection.execute("ROLLBACK TO probe; RELEASE probe")
        return ""

    def _look_at_file(self) -> str:
        path = Path(self._database.path)
        try:
            named = path.stat()
        except OSError:
            return "its file was moved or deleted"
        if (named.st_dev, named.st_ino) != self._database.identity:
            return "its file was replaced"
        if not os.access(path, os.R_OK | os.W_OK):
            return "its file may not be read and written any more"
        disk = os.statvfs(path)
        return "its disk is full" if disk.f_bavail * disk.f_frsize < _FREE_BYTES_MIN else ""

    def _note(self, reason: str) -> None:
        """Keep a result, and log each change."""
        if reason and reason != self._reason:
            _log.error("store_unusable", reason=reason, path=self._database.path)
        elif self._reason and not reason:
            _log.info("store_usable_again")
        self._reason = reason
