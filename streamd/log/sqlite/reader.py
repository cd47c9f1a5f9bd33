"""The statements of the log's reader: pages of events. They run in its thread, and compute within SQLite."""

import time
from collections.abc import Sequence
from typing import Any, Final

import apsw
import attrs
import msgspec

from .schema import ID_TEXT

TOPICS_MAX: Final = 200
"""Topics that one statement merges (SQLite allows 500); for more, all events are scanned."""


@attrs.frozen
class RawPage:
    """A page as it was read, with the record of what the log had dropped at that moment.

    Args:
        json: an array of the events' JSON.
        cursor: number of the last event considered; 0 for the head.
        dropped: the newest dropped event of the exact topics; 0 for none.
        seconds: time that the reading took.
    """

    json: bytes
    cursor: int
    dropped: int
    seconds: float


_SCAN: Final = "SELECT id FROM log_events WHERE id > ?1 AND id <= ?2"
_TOPIC: Final = "SELECT id FROM log_topics WHERE topic = ?{} AND id > ?1 AND id <= ?2"
EVENT_JSON: Final = f"""'{{"id":"' || {ID_TEXT} || '",' || substr(body, 2)"""
"""SQL for the JSON of a row's event."""
_PAGE: Final = f"""
    WITH found AS MATERIALIZED (FOUND ORDER BY id LIMIT ?3),
    sized AS (SELECT id, body, sum(size) OVER (ORDER BY id) - size AS size_before
              FROM found JOIN log_events USING (id))
    SELECT CAST('[' || coalesce(group_concat({EVENT_JSON}, ',' ORDER BY id), '') || ']' AS BLOB),
           coalesce(max(id), 0) AS taken,
           (SELECT count(*) FROM found),
           (SELECT coalesce(max(id), 0) FROM found),
           (SELECT coalesce(max(id), 0) FROM found JOIN log_events USING (id))
    FROM sized WHERE size_before < ?4
"""
_ROWS: Final = f"""
    SELECT id, CAST({EVENT_JSON} AS BLOB) FROM log_events WHERE id IN (FOUND ORDER BY id LIMIT ?3) ORDER BY id
"""
_DROPPED: Final = """
    SELECT coalesce(max(coalesce(record.id, (SELECT id FROM log_dropped WHERE topic = ''), 0)), 0)
    FROM json_each(?) AS name LEFT JOIN log_dropped AS record ON record.topic = name.value
"""


@attrs.frozen
class PageQuery:
    """The next events after a position.

    Args:
        topics: the exact topics; none for all events.
        after: number of the position; 0 for the beginning.
        head: number of the last event to consider.
        max_events: maximum number of events.
        max_bytes: the page ends with the event that reaches this size.
    """

    topics: Sequence[str]
    after: int
    head: int
    max_events: int
    max_bytes: int

    def read(self, db: apsw.Connection) -> RawPage:
        """Read the page and the record of what was dropped, in one transaction."""
        began = time.perf_counter()
        with db:
            [[json, taken, count, found, stored]] = db.execute(
                _PAGE.replace("FOUND", self._found), (*self._bounds, self.max_bytes, *self.topics)
            )
            dropped = 0
            if self.after and self.topics:
                [[dropped]] = db.execute(_DROPPED, (msgspec.json.encode(self.topics).decode(),))
        if taken < stored:  # the size ended it
            last = taken
        elif count == self.max_events:
            last = found
        else:
            last = 0
        return RawPage(json, last, dropped, time.perf_counter() - began)

    def read_rows(self, db: apsw.Connection) -> list[tuple[int, bytes]]:
        """Read number and JSON of each event, to find the damaged one in a page that cannot be decoded."""
        unused = (None, *self.topics) if self.topics else ()
        rows: list[Any] = db.execute(_ROWS.replace("FOUND", self._found), (*self._bounds, *unused)).fetchall()
        return rows

    @property
    def _found(self) -> str:
        if not self.topics:
            return _SCAN
        return " UNION ".join([_TOPIC.format(5 + index) for index in range(len(self.topics))])

    @property
    def _bounds(self) -> tuple[int, int, int]:
        return self.after, self.head, self.max_events
