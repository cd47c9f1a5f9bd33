"""Changes of tasks that append their events to the log in their own transaction.

This needs a log in the same database, and an empty outbox: what an earlier process left there, when it had
another log, is published first, so that the events of a task keep their order.
"""

from collections.abc import Sequence
from typing import Final

import apsw
import attrs

from ...log.port import Refusal
from ...log.sqlite import Appended, Prepared, SQLiteLog
from ..model import Change
from .port import Outgoing, PublishedMessage, Publishing, outgoing_rows


@attrs.frozen
class AppendedEvents:
    """The events that a transaction has appended for the changes of one task.

    Args:
        rows: the events, as rows of an outbox.
        published: the same, with their positions.
        appended: what the log hands on after the commit.
    """

    rows: Sequence[Outgoing]
    published: Sequence[PublishedMessage]
    appended: Appended


class TaskAppender:
    """Appends the events of changes to the log, once the outbox is empty.

    Args:
        log: the log in the store's database; None for another log.

    Attributes:
        publishing: the publisher's part; None without a publisher.
    """

    def __init__(self, log: SQLiteLog | None) -> None:
        self.publishing: Publishing | None = None
        self._log: Final = log
        self._is_drained = False  # set and read in the database's thread, between transactions

    @property
    def is_active(self) -> bool:
        """True once changes append their events themselves."""
        return self._is_drained

    def note_outbox(self, *, is_empty: bool) -> None:
        """Note in the database's thread if the outbox has rows to be published."""
        if is_empty and self._log is not None and self.publishing is not None:
            self._is_drained = True

    def append(self, db: apsw.Connection, changes: Sequence[Change]) -> AppendedEvents | None:
        """Append the events of a task's changes; return None if they belong into the outbox.

        Args:
            db: the connection, in a transaction.
            changes: of one task.
        """
        publishing, log = self.publishing, self._log
        if not self._is_drained or publishing is None or log is None:
            return None
        rows = [row for change in changes for row in outgoing_rows(change)]
        drafts = [publishing.draft(row) for row in rows]
        # A transaction appends once: its events need no keys.
        fresh = [draft.with_key(None) for draft in drafts if draft is not None]
        appended = log.append_in(db, Prepared.of(fresh, publisher=""))
        assert not isinstance(appended, Refusal), "there are no conditions"
        receipts = iter(appended.receipts)
        published = [
            PublishedMessage(
                task_id=row.task_id,
                version=row.version,
                part=row.part,
                final=row.final,
                id=None if draft is None else next(receipts).id,
                keep=publishing.keeps(row),
            )
            for row, draft in zip(rows, drafts, strict=True)
        ]
        return AppendedEvents(rows, published, appended)

    def announce(self, events: AppendedEvents) -> None:
        """Hand on the events after the commit, on trio's thread."""
        publishing, log = self.publishing, self._log
        assert publishing is not None
        assert log is not None
        publishing.begin(events.rows)
        log.announce(events.appended)
        publishing.done(events.published, [draft.type for draft, _ in events.appended.fresh])
