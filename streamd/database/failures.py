"""Errors of SQLite: their lines in the log, and the errors that callers get instead."""

from collections.abc import Iterable
from typing import Any

import apsw
import structlog

from ..errors import InsufficientStorage, Unavailable
from .batch import Write

_log = structlog.get_logger(__name__)


def log_failures(batch: Iterable[Write[Any]]) -> None:
    """Log each error of SQLite once, also one that all writes of a transaction share."""
    errors = {id(write.error): write.error for write in batch}
    for error in errors.values():
        if isinstance(error, apsw.Error):
            log_failure(error)


def log_failure(error: apsw.Error) -> None:
    """Log an error of SQLite by its cause."""
    _log.error("store_failed", error=repr(_cause_of(error)))


def as_unavailable(error: apsw.Error) -> Unavailable:
    """Build the error that callers get for one of SQLite: another one for a full disk."""
    if isinstance(_cause_of(error), apsw.FullError):
        return InsufficientStorage("the disk of the store is full", retry_after_seconds=1)
    return Unavailable("the store failed; the request may succeed later", retry_after_seconds=1)


def _cause_of(error: BaseException) -> BaseException:
    """Return the first of a chain of errors."""
    while error.__context__ is not None:
        error = error.__context__
    return error
