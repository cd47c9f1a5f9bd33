"""Unlogged events: their checks, and their encoding with and without an id."""

import json
from typing import Any

import msgspec
import pytest

from streamd.errors import InvalidField, TooLarge
from streamd.events import EventSettings, UnloggedEvent
from streamd.events.control import RESERVED_TYPES

LIMITS = EventSettings(max_event_bytes=100)


@pytest.mark.parametrize(
    ("data", "sse", "value"),
    [
        ("two\nlines", b"data: two\ndata: lines\n\n", "two\nlines"),
        ({"n": 1}, b'data: {"n":1}\n\n', {"n": 1}),
        (msgspec.Raw(b' { "n" : 1.50 } '), b'data: {"n":1.50}\n\n', {"n": 1.5}),
        (msgspec.Raw(b'"text"'), b"data: text\n\n", "text"),
    ],
)
def test_a_message_has_no_id_on_any_transport(data: Any, sse: bytes, value: Any) -> None:
    message = UnloggedEvent.create(data, limits=LIMITS, type="notice")
    assert message.sse == b"event: notice\n" + sse
    assert json.loads(message.json) == {"control": "message", "type": "notice", "data": value}
    assert message.text == message.json.decode()


def test_an_event_with_an_id_of_its_own_is_no_control_message() -> None:
    event = UnloggedEvent("x", id="mine")
    assert json.loads(event.json) == {"id": "mine", "type": "message", "topics": [], "data": "x"}


def test_bytes_are_base64_with_the_marker() -> None:
    message = UnloggedEvent.create(b"\0\x01\x02", limits=LIMITS)
    assert message.sse == b"encoding: base64\ndata: AAEC\n\n"
    expected = {"control": "message", "type": "message", "data": "AAEC", "encoding": "base64"}
    assert json.loads(message.json) == expected
    assert message.size == len("message") + len("AAEC")


@pytest.mark.parametrize("type", [*sorted(RESERVED_TYPES), "a\nb", 7])
def test_the_type_is_checked(type: Any) -> None:
    with pytest.raises(InvalidField) as refused:
        UnloggedEvent.create("x", limits=LIMITS, type=type)
    assert refused.value.field == "type"


def test_type_and_data_are_bounded_together() -> None:
    assert UnloggedEvent.create("x" * 90, limits=LIMITS, type="ten  chars").size == 100
    with pytest.raises(TooLarge) as refused:
        UnloggedEvent.create("x" * 91, limits=LIMITS, type="ten  chars")
    assert refused.value.field == "data"
