"""Reports of damaged records: each once, and in bounded memory."""

from streamd.errors import Unreadable
from streamd.unreadable import UnreadableRecords, as_text
from tests.support.damage import counted


def test_each_record_is_counted_once_and_named_in_every_error() -> None:
    unreadable = UnreadableRecords()
    found = counted(unreadable)
    for _ in range(3):
        for record, id in (("task", "a"), ("task", "b"), ("purchase order", "a")):
            error = unreadable.report(record, id, ValueError("truncated"))
            assert isinstance(error, Unreadable)
            assert error.detail == f"the {record} {id!r} is stored, but cannot be read"
    assert found == ["task", "task", "purchase order"]


def test_the_number_of_remembered_records_is_bounded() -> None:
    unreadable = UnreadableRecords()
    found = counted(unreadable)
    for n in range(20_000):
        unreadable.report("task", f"t{n}", ValueError())
    assert len(found) == 10_000


def test_a_name_that_is_no_text_is_shown_with_replacements() -> None:
    assert [as_text(raw) for raw in (b"a\xff", "b", None)] == ["a\ufffd", "b", ""]
