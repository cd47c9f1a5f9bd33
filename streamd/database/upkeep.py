"""Statements for the file as a whole: migrations, the write-ahead log, and free pages."""

from collections.abc import Sequence
from typing import Final

import apsw
import structlog

from .settings import MEMORY

BUSY_TIMEOUT_MS: Final = 2000  # a previous process may still be closing the file
_FREE_PAGES_KEPT: Final = 1024  # of the file: reused without growing it
_RECLAIMED_PAGES: Final = 512  # given back to the file system in one step of a few milliseconds
_INCREMENTAL: Final = 2  # of SQLite's pragma auto_vacuum

_log = structlog.get_logger(__name__)


def prepare_reader(connection: apsw.Connection) -> None:
    """Set up a connection that only reads."""
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    connection.pragma("query_only", True)


def use_incremental_vacuum(connection: apsw.Connection, path: str) -> None:
    """Let :func:`reclaim` shrink the file; one of an earlier streamd is rewritten once for that."""
    if path == MEMORY or connection.pragma("auto_vacuum") == _INCREMENTAL:
        return
    connection.pragma("auto_vacuum", _INCREMENTAL)
    if connection.pragma("page_count"):
        try:
            connection.execute("VACUUM")
        except apsw.FullError as error:  # it works without, and only never shrinks
            _log.warning("file_not_rewritten", path=path, error=repr(error))


def reclaim(connection: apsw.Connection) -> None:
    """Give some free pages back to the file system, if there are more than will soon be needed."""
    free, pages = connection.pragma("freelist_count"), connection.pragma("page_count")
    if free > max(_FREE_PAGES_KEPT, pages // 4):
        connection.execute(f"PRAGMA incremental_vacuum({_RECLAIMED_PAGES})").fetchall()


def used_bytes(connection: apsw.Connection) -> int:
    """Return the size of the pages that are in use (bytes)."""
    pages = connection.pragma("page_count") - connection.pragma("freelist_count")
    return int(pages * connection.pragma("page_size"))


def copy_wal(connection: apsw.Connection) -> tuple[int, int]:
    """Copy the write-ahead log into the file; return its pages, and the number of those copied."""
    return connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)


def migrate(connection: apsw.Connection, component: str, missing: Sequence[str], version: int) -> None:
    """Apply the migrations that a component lacks, and record the version that its tables have then."""
    for script in missing:
        connection.execute(script)
    connection.execute("INSERT OR REPLACE INTO migrations VALUES (?, ?)", (component, version))
