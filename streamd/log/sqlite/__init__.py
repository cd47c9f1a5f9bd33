"""The log in SQLite: events survive the process. See :class:`.log.SQLiteLog`.

Theory of operation
-------------------
Events are written by the database's writer, and read for replay by its reader, in another thread. The live
path does not read: what was committed is handed on from memory, in the order of the commits::

    append ── prepare ── writer: ids, rows, commit ── announce ── recent ── tail ── hub
                                                          '------ usage ── trim: writer, in steps
    read ──────────────── reader: a page as one JSON array, up to the announced head

1. Ids are given out by the writer's thread, inside the transaction: they are in the order of the commits.
2. A page ends at the head that is announced: the reader may see a transaction that is not announced yet.
3. A page, and the records of what was dropped, are read in one transaction of the reader: a page lacks an
   event exactly if the records have it.
4. SQLite builds a page of JSON without holding Python's interpreter; one call decodes it on trio's thread.
5. The usage of each topic is counted in memory, from what is announced; what exceeds the bounds is dropped in
   steps of one transaction, each about as large as what was appended meanwhile.
6. A damaged row is left out, never an error of its page; what cannot be dropped because rows are damaged or
   missing is left until the next sweep.

=============  ==================================================================
``log``        :class:`~.log.SQLiteLog`: the log
``writer``     the statements of the writer: starting, appending, dropping
``reader``     the statements of the reader: pages
``dropped``      the truncation records, in memory for readers by pattern
``pace``       the size of pages, adapted to the time that they take
``usage``      events and bytes by topic, and what of them exceeds the bounds
``recent``     the events between the fan-out and the head
``schema``     the tables
``archive``    the file without a server: statistics, export, backup
``importing``  the import of an export into a file that no server uses
=============  ==================================================================
"""

from .log import SQLiteLog
from .writer import Appended, Prepared

__all__ = ["Appended", "Prepared", "SQLiteLog"]
