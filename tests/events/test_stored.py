"""Stored events: the JSON of an event is decoded to the same event, and damage is an error."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.events import DataEncoding, Draft, Event, EventId
from streamd.events.stored import decode_event, decode_events
from tests.support.json_texts import nested
from tests.support.strategies import LIMITS, binaries, events, hostile_texts, json_values, texts

any_events = events(texts | hostile_texts | json_values | binaries)
ID = EventId("1700000000000-000001")


def fields(event: Event) -> tuple[object, ...]:
    """Return the fields, since an event equals only itself."""
    return tuple(getattr(event, name) for name in event.__struct_fields__ if name[0] != "_")


@given(any_events)
def test_the_json_of_any_event_round_trips(event: Event) -> None:
    decoded = decode_event(event.json)
    assert fields(decoded) == fields(event)
    assert decoded.json == event.json
    assert decoded.value == event.value


@given(st.lists(any_events, max_size=4))
def test_a_json_array_of_any_events_round_trips(stored: list[Event]) -> None:
    decoded = decode_events(b"[" + b",".join(event.json for event in stored) + b"]")
    assert [fields(event) for event in decoded] == [fields(event) for event in stored]


@pytest.mark.parametrize(
    "raw",
    [
        b"1.50",
        b"-0",
        b"1E+2",
        b"123456789012345678901234567890",
        b"0.1000000000000000055511151231257827",
        b'{"price":[1.50,2.00]}',
        rb'["\u00e9","\n"]',
        nested(64),
    ],
)
def test_json_keeps_its_numbers_to_the_digit(raw: bytes) -> None:
    event = Event.from_draft(Draft.create("t", msgspec.Raw(raw), limits=LIMITS), ID)
    decoded = decode_event(event.json)
    assert (decoded.data, decoded.encoding) == (raw.decode(), DataEncoding.JSON)


def test_text_that_looks_like_base64_or_json_stays_text() -> None:
    for text in ("AAEC", "[1]", '"AAEC"', '"encoding":"base64"'):
        event = Event.from_draft(Draft.create("t", text, limits=LIMITS), ID)
        decoded = decode_event(event.json)
        assert (decoded.data, decoded.encoding) == (text, DataEncoding.TEXT)


STORED = b'{"id":"1700000000000-000001","type":"a","topics":["t"],"data":%b}'


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"{}",
        b"\xff",
        STORED[:-1] % b"1",
        STORED % b"1" + b"x",
        STORED % b"",
        STORED % b"01",
        STORED % b"NaN",
        STORED % b"[1",
        STORED % b'"\xff"',
        STORED % b'["\xff"]',
        STORED % rb'"\ud800"',
        STORED % rb'["\ud800"]',
        STORED % (b"[" * 5000 + b"]" * 5000),
        STORED % b'1,"colour":"red"',
        STORED % b'1,"retry":"5"',
        STORED % b'"AAEC","encoding":"hex"',
        STORED % b'"AAE","encoding":"base64"',
        STORED % b'1,"encoding":"base64"',
        b'{"id":5,"type":"a","topics":["t"],"data":1}',
        b'{"id":"1","topics":["t"],"data":1}',
        b'{"id":"1","type":"a","topics":"t","data":1}',
        b'{"id":"1","type":"a","topics":["t"]}',
    ],
    ids=lambda raw: repr(raw[50:90]),
)
def test_damage_is_an_error_of_msgspec(raw: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_event(raw)
    with pytest.raises(msgspec.MsgspecError):
        decode_events(b"[" + STORED % b"1" + b"," + raw + b"]")


def test_any_proper_prefix_is_an_error() -> None:
    event = Event.from_draft(Draft.create(["a", "b"], b"\0\x01\x02", limits=LIMITS, retry_ms=5), ID)
    for length in range(len(event.json)):
        with pytest.raises(msgspec.MsgspecError):
            decode_event(event.json[:length])
