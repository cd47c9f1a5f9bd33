"""Control frames: no event can look like one, and only a cursor move moves the cursor."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.events import Control, ControlName, CursorMove, EventId
from streamd.events.control import RESERVED_TYPES, gap
from streamd.events.sse import DecodedCursorMove, ServerSentEvent
from tests.support.sse_model import Reading, bytewise, read
from tests.support.strategies import hostile_texts, ids, json_values, retries, texts

ID = EventId("1700000000000-000001")

fields = st.dictionaries(
    texts.filter(lambda name: name not in ("control", "retry")), hostile_texts | json_values, max_size=4
)


def test_the_reserved_types_are_the_control_names() -> None:
    assert {"connected", "heartbeat", "gap", "token-expiring", "closing"} == RESERVED_TYPES


def test_exact_frames() -> None:
    closing = Control(ControlName.CLOSING, {"reason": "shutdown"}, retry_ms=1500)
    assert closing.sse == b'event: closing\nretry: 1500\ndata: {"reason":"shutdown"}\n\n'
    assert closing.json == b'{"control":"closing","reason":"shutdown","retry":1500}'
    heartbeat = Control(ControlName.HEARTBEAT)
    assert heartbeat.sse == b"event: heartbeat\ndata: {}\n\n"
    assert heartbeat.json == b'{"control":"heartbeat"}'
    assert CursorMove(ID).sse == b"id: 1700000000000-000001\n\n"
    assert CursorMove(ID).json == b'{"control":"cursor","id":"1700000000000-000001"}'


def test_a_gap_has_the_requested_cursor_and_the_one_after_which_it_resumes() -> None:
    notice = gap(EventId("0000000000005-000000"), ID)
    expected = {"requested": "0000000000005-000000", "resumed_after": ID}
    assert json.loads(notice.json) == {"control": "gap", **expected}
    [seen] = read([notice.sse]).events
    assert isinstance(seen, ServerSentEvent)
    assert (seen.type, json.loads(seen.data)) == ("gap", expected)


@pytest.mark.parametrize("frame", [Control(ControlName.GAP, {"a": "b" * 300}), CursorMove(ID)])
@pytest.mark.parametrize("wire", ["sse", "json", "text"])
def test_each_encoding_is_made_once(frame: Control | CursorMove, wire: str) -> None:
    assert getattr(frame, wire) is getattr(frame, wire)


def test_a_name_with_a_line_break_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"^type must not contain"):
        _ = Control("gap\nid: 9").sse


@given(st.sampled_from(ControlName), fields, retries, ids)
def test_a_control_frame_reads_back_and_moves_no_cursor(
    name: ControlName, data: dict[str, Any], retry_ms: int | None, cursor: EventId
) -> None:
    frame = Control(name, data, retry_ms)
    reading = read([CursorMove(cursor).sse, frame.sse])
    assert reading == read(bytewise(CursorMove(cursor).sse + frame.sse))
    assert (reading.last_event_id, reading.retry_ms) == (cursor, retry_ms)
    moved, seen = reading.events
    assert moved == DecodedCursorMove(cursor)
    assert isinstance(seen, ServerSentEvent)
    assert (seen.type, seen.last_event_id, json.loads(seen.data)) == (name, cursor, data)


@given(st.sampled_from(ControlName), fields, retries)
def test_the_json_frame_has_the_name_and_the_fields(
    name: ControlName, data: dict[str, Any], retry_ms: int | None
) -> None:
    frame = Control(name, data, retry_ms)
    retry = {} if retry_ms is None else {"retry": retry_ms}
    assert json.loads(frame.json) == {"control": name, **data, **retry}
    assert frame.text == frame.json.decode()
    assert "\n" not in frame.text


@given(ids)
def test_a_cursor_move_reads_back_and_is_no_event(event_id: EventId) -> None:
    frame = CursorMove(event_id)
    expected = Reading([DecodedCursorMove(event_id)], event_id, None)
    assert read([frame.sse]) == read(bytewise(frame.sse)) == expected
    assert json.loads(frame.text) == {"control": "cursor", "id": event_id}
