"""Batches of writes: one transaction, in which each write has a savepoint of its own."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import apsw
import trio

T = TypeVar("T")
Work = Callable[[apsw.Connection], T]
"""A function that works on the connection, in its thread."""


class Write(Generic[T]):
    """One queued write, and later its result or error."""

    __slots__ = ("committed", "done", "error", "result", "work")

    def __init__(self, work: Work[T], committed: Callable[[T], None] | None = None) -> None:
        self.work = work
        self.committed = committed
        self.done = trio.Event()
        self.result: T | None = None
        self.error: BaseException | None = None


def commit_batch(connection: apsw.Connection, batch: list[Write[Any]]) -> None:
    """Commit the writes of a batch in one transaction; all of them fail if it cannot be committed."""
    try:
        with connection:
            for write in batch:
                try:
                    with connection:  # a savepoint
                        write.result = write.work(connection)
                except Exception as error:  # for the caller of this write
                    write.error = error
                    if not connection.in_transaction:
                        # SQLite rolled back the whole transaction, as it may on a full disk. The next
                        # write would be committed by itself.
                        raise _RolledBack from error
    except (apsw.Error, _RolledBack) as error:
        failed = (
            error if isinstance(error, apsw.Error) else apsw.AbortError("the transaction was rolled back")
        )
        for write in batch:
            write.error = write.error or failed
        del failed  # whose frames refer to this one


class _RolledBack(Exception):
    """SQLite has rolled back the transaction before its end."""
