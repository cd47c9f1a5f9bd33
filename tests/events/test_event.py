"""Drafts and events: their checks, sizes and encodings."""

import json
from base64 import b64encode
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given

from streamd.errors import InvalidField, TooLarge
from streamd.events import ControlName, DataEncoding, Draft, Event, EventId
from streamd.events.event import RETRY_MS_MAX
from streamd.events.settings import EventSettings
from tests.support.json_texts import nested
from tests.support.odd_texts import INVALID_IDENTIFIERS, VALID_IDENTIFIERS
from tests.support.strategies import LIMITS, binaries, drafts, events, hostile_texts, ids, json_values, texts

ID = EventId("1700000000000-000001")


def deep_list(levels: int) -> list[Any]:
    """Return a value that is too deep for any decoder."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def draft(topics: Any = "t", data: Any = "", limits: EventSettings = LIMITS, **fields: Any) -> Draft:
    return Draft.create(topics, data, limits=limits, **fields)


def event(topics: Any = "t", data: Any = "", **fields: Any) -> Event:
    return Event.from_draft(draft(topics, data, **fields), ID)


class TestTopics:
    def test_an_event_has_one_topic_or_several(self) -> None:
        assert draft("a").topics == ("a",)
        assert draft(["b", "a"]).topics == ("b", "a")
        assert draft(("b", "a")).topics == ("b", "a")

    def test_repeated_topics_are_dropped_and_the_order_kept(self) -> None:
        assert draft(["c", "a", "c", "b", "a"]).topics == ("c", "a", "b")

    @pytest.mark.parametrize(
        ("topics", "field"),
        [
            ("", "topic"),
            ("a\n", "topic"),
            ([], "topics"),
            (["a", ""], "topics"),
            (["a", "b\0"], "topics"),
            (["a", 5], "topics"),
        ],
    )
    def test_the_error_names_the_field_of_an_invalid_topic(self, topics: Any, field: str) -> None:
        with pytest.raises(InvalidField) as rejected:
            draft(topics)
        assert rejected.value.field == field

    def test_the_number_and_length_of_topics_are_limited(self) -> None:
        limits = EventSettings(max_topics_per_event=2, max_topic_bytes=4)
        assert draft(["éé", "abcd"], limits=limits).topics == ("éé", "abcd")
        with pytest.raises(InvalidField, match="at most 2 topics, got 3") as rejected:
            draft(["a", "b", "c"], limits=limits)
        assert rejected.value.field == "topics"
        with pytest.raises(InvalidField, match="longer than 4 bytes"):
            draft("ééé", limits=limits)


class TestType:
    @pytest.mark.parametrize("type", [None, "", "message"])
    def test_the_default_type_is_message(self, type: str | None) -> None:
        assert draft(type=type).type == "message"

    @pytest.mark.parametrize("text", VALID_IDENTIFIERS)
    def test_any_identifier_is_a_type(self, text: str) -> None:
        assert draft(type=text).type == text

    @pytest.mark.parametrize("text", ["\r\n", "\ud800", *INVALID_IDENTIFIERS])
    def test_a_line_break_nul_or_other_control_is_rejected(self, text: str) -> None:
        with pytest.raises(InvalidField, match="type must be printable") as rejected:
            draft(type=text)
        assert rejected.value.field == "type"

    @pytest.mark.parametrize("value", [5, 0, False, b"tick", [], ["tick"]])
    def test_only_text_is_a_type(self, value: Any) -> None:
        with pytest.raises(InvalidField) as rejected:
            draft(type=value)
        assert rejected.value.field == "type"

    @pytest.mark.parametrize("name", list(ControlName))
    def test_a_publisher_cannot_forge_a_control_frame(self, name: ControlName) -> None:
        for text in (name, str(name)):
            with pytest.raises(InvalidField, match="reserved") as rejected:
                draft(type=text)
            assert rejected.value.field == "type"

    def test_only_the_exact_name_is_reserved(self) -> None:
        assert draft(type="Gap").type == "Gap"
        assert draft(type="gap ").type == "gap "


class TestRetry:
    @pytest.mark.parametrize("retry_ms", [None, 0, 1, RETRY_MS_MAX])
    def test_retry_is_whole_milliseconds(self, retry_ms: int | None) -> None:
        assert draft(retry_ms=retry_ms).retry_ms == retry_ms

    @pytest.mark.parametrize("value", [-1, RETRY_MS_MAX + 1, 10**40, True, False, 1.0, "5", [5]])
    def test_anything_else_is_rejected(self, value: Any) -> None:
        with pytest.raises(InvalidField, match="retry must be whole milliseconds") as rejected:
            draft(retry_ms=value)
        assert rejected.value.field == "retry"


class TestIdempotencyKey:
    def test_the_length_of_a_key_is_counted_in_bytes(self) -> None:
        limits = EventSettings(max_idempotency_key_bytes=4)
        assert draft(limits=limits).idempotency_key is None
        assert draft(limits=limits, idempotency_key="éé").idempotency_key == "éé"
        with pytest.raises(InvalidField, match="longer than 4 bytes") as rejected:
            draft(limits=limits, idempotency_key="ééé")
        assert rejected.value.field == "idempotency_key"

    @pytest.mark.parametrize("text", VALID_IDENTIFIERS)
    def test_any_identifier_is_a_key(self, text: str) -> None:
        assert draft(idempotency_key=text).idempotency_key == text

    @pytest.mark.parametrize("value", ["", "\ud800", *INVALID_IDENTIFIERS, 5, b"key"])
    def test_a_key_is_an_identifier(self, value: Any) -> None:
        with pytest.raises(InvalidField) as rejected:
            draft(idempotency_key=value)
        assert rejected.value.field == "idempotency_key"


class TestData:
    @given(texts)
    def test_text_is_not_changed(self, text: str) -> None:
        made = draft(data=text)
        assert (made.data, made.encoding) == (text, DataEncoding.TEXT)
        assert Event.from_draft(made, ID).value == text

    def test_text_that_looks_like_json_stays_text(self) -> None:
        assert draft(data='{"a":1}') == Draft(("t",), '{"a":1}', DataEncoding.TEXT)

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (None, "null"),
            (True, "true"),
            (0, "0"),
            (2**70, str(2**70)),
            (-(2**70), str(-(2**70))),
            (1.5, "1.5"),
            ([], "[]"),
            ({"a": [1, "é\n"]}, '{"a":[1,"é\\n"]}'),
            (("a", 1), '["a",1]'),
            (float("nan"), "null"),
        ],
    )
    def test_a_value_becomes_compact_json(self, value: Any, expected: str) -> None:
        made = draft(data=value)
        assert (made.data, made.encoding) == (expected, DataEncoding.JSON)

    @pytest.mark.parametrize(
        ("raw", "expected"),
        [
            (b"1.50", "1.50"),
            (b"-0", "-0"),
            (b"1E+2", "1E+2"),
            (b"123456789012345678901234567890", "123456789012345678901234567890"),
            (b"0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
            (b'{ "price" :\r\n [ 1.50 , 2.00 ] }', '{"price":[1.50,2.00]}'),
            (rb'["\u00e9","\n"]', r'["\u00e9","\n"]'),
        ],
    )
    def test_json_keeps_its_numbers_to_the_digit(self, raw: bytes, expected: str) -> None:
        made = draft(data=msgspec.Raw(raw))
        assert (made.data, made.encoding) == (expected, DataEncoding.JSON)
        frame = Event.from_draft(made, ID)
        assert b'"data":' + expected.encode() + b"}" in frame.json
        assert b"data: " + expected.encode() + b"\nid: " in frame.sse

    @pytest.mark.parametrize(
        "value", [msgspec.Raw(rb'"two\nlines"'), msgspec.Raw(b' "two\\u000alines" '), "two\nlines"]
    )
    def test_a_json_string_is_text(self, value: Any) -> None:
        made = draft(data=value)
        assert (made.data, made.encoding) == ("two\nlines", DataEncoding.TEXT)

    def test_a_value_that_json_represents_as_a_string_is_text(self) -> None:
        moment = msgspec.json.decode('"2024-05-01T12:00:00Z"', type=datetime)
        assert draft(data=moment) == draft(data="2024-05-01T12:00:00Z")

    @pytest.mark.parametrize(
        "value",
        [
            "\ud800",
            "a\udfffb",
            {"a": "\ud800"},
            {"\ud800": 1},
            object(),
            [object()],
            {(1, 2): 3},
            msgspec.Raw(b""),
            msgspec.Raw(b"{"),
            msgspec.Raw(b"1 2"),
            msgspec.Raw(b"NaN"),
            msgspec.Raw(b"1e400"),
            msgspec.Raw(b'{"a":1,"a":2}'),
            msgspec.Raw(nested(65)),
            msgspec.json.decode(nested(65)),
            msgspec.Raw(b'"\xff"'),
            msgspec.Raw(b'{"a":"\xff"}'),
            msgspec.Raw(rb'"\ud800"'),
            msgspec.Raw(rb'{"a":"\ud800"}'),
            msgspec.Raw(b"[" * 100_000),
            msgspec.Raw(b"[" * 5000 + b"]" * 5000),
        ],
    )
    def test_data_that_is_neither_text_nor_json_is_rejected(self, value: Any) -> None:
        with pytest.raises(InvalidField, match=r"^data") as rejected:
            draft(data=value)
        assert str(rejected.value.field).startswith("data")

    def test_nesting_that_is_too_deep_to_decode_is_rejected(self) -> None:
        with pytest.raises(InvalidField) as rejected:
            draft(data=deep_list(5000))
        assert rejected.value.field == "data"

    @given(binaries)
    def test_bytes_become_base64(self, data: bytes) -> None:
        for value in (data, bytearray(data), memoryview(data)):
            made = draft(data=value)
            assert (made.data, made.encoding) == (b64encode(data).decode(), DataEncoding.BASE64)
            assert Event.from_draft(made, ID).value == data

    def test_bytes_are_other_content_than_the_text_of_their_base64(self) -> None:
        assert draft(data=b"\0\x01\x02") != draft(data="AAEC")
        assert draft(data=b"\0\x01\x02") == draft(data=bytearray(b"\0\x01\x02"))

    @given(json_values)
    def test_any_json_value_round_trips(self, value: Any) -> None:
        assert event(data=value).value == value
        raw = msgspec.Raw(json.dumps(value, indent=2).encode())
        assert event(data=raw).value == value


class TestSize:
    def test_the_size_is_the_bytes_of_topics_type_and_data(self) -> None:
        made = draft(["é", "日本"], "😀!", type="tick")
        assert made.size == 2 + 6 + 4 + 5
        assert Event.from_draft(made, ID).size == made.size

    def test_the_default_type_counts(self) -> None:
        assert draft("t", "").size == 1 + len("message")

    def test_an_event_may_have_the_maximum_size(self) -> None:
        limits = EventSettings(max_event_bytes=20)
        assert draft("tt", "é" * 5 + "x", limits=limits).size == 20
        with pytest.raises(TooLarge, match="21 bytes, the maximum is 20") as rejected:
            draft("tt", "é" * 6, limits=limits)
        assert rejected.value.field == "data"

    def test_a_json_value_counts_as_compact_json(self) -> None:
        limits = EventSettings(max_event_bytes=18)
        assert draft("t", msgspec.Raw(b"[ 1 , 2 , 3 ]" + b" " * 100), limits=limits).size == 15
        with pytest.raises(TooLarge):
            draft("t", [1000, 2000], limits=limits)

    def test_bytes_count_as_their_base64(self) -> None:
        limits = EventSettings(max_event_bytes=12)
        assert draft("t", b"\0\x01\x02", limits=limits).size == 1 + len("message") + 4
        with pytest.raises(TooLarge) as rejected:
            draft("t", b"\0\x01\x02\x03", limits=limits)
        assert rejected.value.field == "data"

    @given(drafts())
    def test_the_size_never_exceeds_the_limit(self, made: Draft) -> None:
        exact = EventSettings(max_event_bytes=made.size)
        data = Event.from_draft(made, ID).value
        if made.encoding is DataEncoding.JSON:
            data = msgspec.Raw(made.data.encode())
        fields = {"type": made.type, "retry_ms": made.retry_ms, "private": made.private}
        assert draft(made.topics, data, exact, **fields) == made
        with pytest.raises(TooLarge):
            draft(made.topics, data, EventSettings(max_event_bytes=made.size - 1), type=made.type)


class TestEvent:
    def test_an_event_has_the_fields_of_its_draft_and_an_id(self) -> None:
        made = draft(["a", "b"], [1], type="tick", retry_ms=5, idempotency_key="k", private=True)
        event = Event.from_draft(made, ID)
        assert {name: getattr(event, name) for name in event.__struct_fields__ if name[0] != "_"} == {
            "id": ID,
            "topics": ("a", "b"),
            "type": "tick",
            "data": "[1]",
            "encoding": DataEncoding.JSON,
            "retry_ms": 5,
            "private": True,
            "size": len("abtick[1]"),
        }

    def test_exact_frames(self) -> None:
        shown = event(["a", "b"], "two\nlines", type="tick", retry_ms=5)
        assert shown.sse == (b"event: tick\nretry: 5\ndata: two\ndata: lines\nid: 1700000000000-000001\n\n")
        assert shown.json == (
            b'{"id":"1700000000000-000001","type":"tick","topics":["a","b"],"data":"two\\nlines","retry":5}'
        )

    def test_the_block_of_bytes_has_the_marker(self) -> None:
        shown = event(["a", "b"], b"\0\x01\x02", type="tick", retry_ms=5)
        end = b"encoding: base64\nretry: 5\ndata: AAEC\nid: 1700000000000-000001\n\n"
        assert shown.sse == b"event: tick\n" + end
        assert shown.sse_with_topics == b"event: tick\ntopic: a\ntopic: b\n" + end

    def test_the_default_type_and_an_unset_retry_are_omitted(self) -> None:
        shown = event("a", {"x": 1.5})
        assert shown.sse == b'data: {"x":1.5}\nid: 1700000000000-000001\n\n'
        assert shown.json == (
            b'{"id":"1700000000000-000001","type":"message","topics":["a"],"data":{"x":1.5}}'
        )

    def test_the_json_of_bytes_has_the_marker(self) -> None:
        start = b'{"id":"1700000000000-000001","type":"message","topics":["a"],'
        assert event("a", b"\0\x01\x02").json == start + b'"data":"AAEC","encoding":"base64"}'
        shown = event("a", b"", retry_ms=5)
        assert shown.json == start + b'"data":"","encoding":"base64","retry":5}'

    @pytest.mark.parametrize("wire", ["sse", "json", "text", "size"])
    def test_each_encoding_of_a_small_event_is_made_once(self, wire: str) -> None:
        shown = event("a" * 300, "b" * 200)
        assert getattr(shown, wire) is getattr(shown, wire)

    @pytest.mark.parametrize("wire", ["sse", "sse_with_topics", "json", "text"])
    def test_a_large_event_keeps_no_encoding(self, wire: str) -> None:
        shown = event("a" * 300, "b" * 300)
        assert getattr(shown, wire) == getattr(shown, wire)
        assert getattr(shown, wire) is not getattr(shown, wire)

    @given(events(texts | hostile_texts | json_values | binaries))
    def test_any_json_decoder_reads_the_same_fields(self, shown: Event) -> None:
        expected = {"id": shown.id, "type": shown.type, "topics": list(shown.topics), "data": shown.value}
        if shown.encoding is DataEncoding.BASE64:
            expected |= {"data": shown.data, "encoding": "base64"}
        if shown.retry_ms is not None:
            expected["retry"] = shown.retry_ms
        if shown.private:
            expected["private"] = True
        assert json.loads(shown.json) == expected
        assert msgspec.json.decode(shown.json) == expected
        assert shown.text == shown.json.decode()
        assert "\n" not in shown.text

    def test_drafts_and_events_are_frozen(self) -> None:
        for value in (draft(), event()):
            with pytest.raises(AttributeError):
                value.data = "other"  # type: ignore[misc]

    @given(ids)
    def test_an_event_equals_only_itself(self, event_id: EventId) -> None:
        made = draft()
        one, other = Event.from_draft(made, event_id), Event.from_draft(made, event_id)
        assert one != other
        assert len({one, other, one}) == 2

    def test_equal_drafts_are_equal(self) -> None:
        assert draft("a", [1]) == draft(["a", "a"], msgspec.Raw(b"[ 1 ]"))
        assert draft("a", [1]) != draft("a", "[1]")
