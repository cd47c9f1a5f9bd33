"""The database: one SQLite file with migrations, a writer that batches transactions, and a reader beside it.

A component declares the migrations of its tables with :meth:`Database.require` before the database is
opened, and passes functions that work on a plain ``apsw.Connection``. They run one after the other in the
connection's own thread, so the rows that a function reads cannot change while it runs. Concurrent writes
share one transaction, and so one commit; each has its own savepoint, so that a failing write does not roll
back the others.

===============  =========================================================================
``database``     :class:`Database`: the writer and the reader
``batch``        the writes of one transaction
``clock_table``  the record of the steady clock
``failures``     errors of SQLite, as they are logged and raised
``file``         the file: its lock, and checks that it can be opened and has known tables
``room``         :class:`StorageRoom`: the size of what is kept, and its bound
``upkeep``       migrations, the write-ahead log, free pages
``probe``        :class:`StoreProbe`: whether the store can be read and written now
``settings``     the section ``[store]``
===============  =========================================================================

May import ``streamd.clock``, ``streamd.config`` and ``streamd.errors``.
"""

from .batch import Work
from .clock_table import read_clock
from .database import Database
from .file import DatabaseFile, FileLock
from .probe import StoreProbe
from .room import StorageRoom
from .settings import MEMORY, StoreSettings

__all__ = [
    "MEMORY",
    "Database",
    "DatabaseFile",
    "FileLock",
    "StorageRoom",
    "StoreProbe",
    "StoreSettings",
    "Work",
    "read_clock",
]
