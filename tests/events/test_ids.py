"""Event ids: their form, their order, and the sequence that generates them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import InvalidField
from streamd.events import EARLIEST, EventId, IdSequence, parse_event_id
from streamd.events.ids import SEQUENCE_MAX, make_event_id, split_event_id

milliseconds = st.integers(0, 10**13 - 1)
sequences = st.integers(0, SEQUENCE_MAX)


class Clock:
    """A wall clock that shows given readings, and then stands still."""

    def __init__(self, *readings: int) -> None:
        self._readings = iter(readings)
        self._now = 0

    def __call__(self) -> int:
        self._now = next(self._readings, self._now)
        return self._now


class TestForm:
    def test_an_id_has_thirteen_and_six_digits(self) -> None:
        assert make_event_id(1_700_000_000_000, 1) == "1700000000000-000001"
        assert make_event_id(5, 999_999) == "0000000000005-999999"
        assert make_event_id(0, 0) == EARLIEST

    @given(milliseconds, sequences)
    def test_an_id_round_trips_through_split_and_parse(self, ms: int, sequence: int) -> None:
        event_id = make_event_id(ms, sequence)
        assert split_event_id(event_id) == (ms, sequence)
        assert parse_event_id(event_id) == event_id

    @given(st.lists(st.tuples(milliseconds, sequences)))
    def test_ids_sort_as_strings_in_the_order_of_time_and_sequence(
        self, positions: list[tuple[int, int]]
    ) -> None:
        ids = [make_event_id(*position) for position in positions]
        assert sorted(ids) == [make_event_id(*position) for position in sorted(positions)]
        assert all(event_id >= EARLIEST for event_id in ids)


class TestParse:
    def test_earliest_is_the_cursor_before_every_event(self) -> None:
        assert parse_event_id("earliest") == EARLIEST

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "-",
            "1",
            "latest",
            "Earliest",
            "earliest ",
            "1700000000000",
            "1700000000000-",
            "1700000000000-00001",
            "1700000000000-0000001",
            "170000000000-000001",
            "17000000000000-000001",
            "1700000000000_000001",
            "1700000000000-00000a",
            "-700000000000-000001",
            "1700000000000-+00001",
            " 1700000000000-000001",
            "1700000000000-000001\n",
            "1700000000000-000001\0",
            "170000000000٣-000001",
            "１７００００００００００００-０００００１",
        ],
    )
    def test_anything_else_is_rejected_and_the_field_named(self, text: str) -> None:
        with pytest.raises(InvalidField, match="must be an event id") as default:
            parse_event_id(text)
        assert default.value.field == "id"
        with pytest.raises(InvalidField, match=r"^last_event_id must be") as named:
            parse_event_id(text, field="last_event_id")
        assert named.value.field == "last_event_id"

    def test_the_error_quotes_a_long_text_in_part(self) -> None:
        with pytest.raises(InvalidField) as rejected:
            parse_event_id("9" * 100_000)
        assert len(rejected.value.detail) < 300

    @given(st.text())
    def test_any_text_is_an_id_or_rejected(self, text: str) -> None:
        try:
            event_id = parse_event_id(text)
        except InvalidField:
            return
        assert text == "earliest" or make_event_id(*split_event_id(event_id)) == text


class TestSequence:
    def test_the_sequence_counts_within_a_millisecond_and_restarts_in_the_next(self) -> None:
        ids = IdSequence(Clock(5, 5, 6, 6, 9), last=make_event_id(4, 7))
        assert [split_event_id(ids.next()) for _ in range(5)] == [(5, 0), (5, 1), (6, 0), (6, 1), (9, 0)]

    def test_ids_grow_when_the_clock_is_set_back(self) -> None:
        ids = IdSequence(Clock(100, 40, 99, 100, 101), last=EARLIEST)
        parts = [split_event_id(ids.next()) for _ in range(5)]
        assert parts == [(100, 0), (100, 1), (100, 2), (100, 3), (101, 0)]

    def test_ids_continue_after_a_last_id_in_the_future(self) -> None:
        ids = IdSequence(Clock(50), last=make_event_id(1000, 41))
        assert ids.last == make_event_id(1000, 41)
        assert ids.next() == make_event_id(1000, 42)

    def test_a_full_millisecond_carries_into_the_next(self) -> None:
        ids = IdSequence(Clock(5, 5, 5, 6, 6, 7), last=make_event_id(5, SEQUENCE_MAX - 1))
        parts = [split_event_id(ids.next()) for _ in range(6)]
        assert parts == [(5, SEQUENCE_MAX), (6, 0), (6, 1), (6, 2), (6, 3), (7, 0)]

    def test_last_is_the_newest_id(self) -> None:
        ids = IdSequence(Clock(5, 6), last=EARLIEST)
        assert ids.last == EARLIEST
        newest = ids.next()
        assert ids.last == newest

    def test_without_a_last_id_the_sequence_starts_now_with_an_id_that_no_event_has(self) -> None:
        ids = IdSequence(Clock(5, 5, 6))
        start = ids.last
        assert split_event_id(start)[0] == 5
        assert start < ids.next() < ids.next()

    @given(
        readings=st.lists(st.integers(0, 50), min_size=1, max_size=50),
        last=st.none()
        | st.builds(
            make_event_id, st.integers(0, 50), st.integers(SEQUENCE_MAX - 3, SEQUENCE_MAX) | sequences
        ),
    )
    def test_ids_only_grow_on_any_clock(self, readings: list[int], last: EventId | None) -> None:
        ids = IdSequence(Clock(*readings), last)
        before = ids.last
        for now in readings[1:] if last is None else readings:
            event_id = ids.next()
            assert event_id > before
            assert split_event_id(event_id)[0] >= now
            assert parse_event_id(event_id) == ids.last
            before = event_id
