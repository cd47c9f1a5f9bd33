"""Stored records that cannot be decoded: an error for one record, never for a list of them.

A disk, a crash of the machine or a person may damage a row of the database. Every reader decodes inside
``except DAMAGE`` and calls :meth:`UnreadableRecords.report`: a request for the record raises the error that
this returns, and everything that reads several records leaves it out and goes on.
"""

from collections.abc import Callable
from typing import Final

import structlog

from .characters import quoted
from .errors import Unreadable

DAMAGE: Final = (ValueError, TypeError, RecursionError, OverflowError)
"""The exceptions of decoding a damaged value: malformed JSON or UTF-8, another shape, type or range."""

_REMEMBERED_MAX: Final = 10_000  # records: some MB; beyond it, a record is neither logged nor counted

_log = structlog.get_logger(__name__)


class UnreadableRecords:
    """The records of one database that were found unreadable. Each is logged and counted once.

    Attributes:
        count: called with the type of each such record, for the metrics.
    """

    def __init__(self) -> None:
        self.count: Callable[[str], None] = lambda _: None
        self._known: set[tuple[str, str]] = set()

    def report(self, record: str, id: str, error: Exception) -> Unreadable:
        """Note that a record cannot be decoded; any thread may call this.

        Args:
            record: the type of the record, such as ``task`` or ``input of task``; one of a few.
            id: the id of the record.
            error: the reason, for the log.

        Returns:
            The error for a request that needs the record.
        """
        if (record, id) not in self._known and len(self._known) < _REMEMBERED_MAX:
            self._known.add((record, id))
            self.count(record)
            _log.warning("record_unreadable", record=record, id=id[:128], error=repr(error)[:200])
        return Unreadable(f"the {record} {quoted(id)} is stored, but cannot be read")


def as_text(raw: bytes | str | None) -> str:
    """Decode a name that was read as bytes, with replacements for what is no UTF-8.

    SQLite stores text that is no UTF-8, and a query fails as a whole when it returns such a value as text.
    """
    return raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw or "")
