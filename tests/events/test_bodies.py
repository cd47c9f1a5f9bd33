"""Publish requests: accepted bodies, and the field that is named when one is rejected."""

import contextlib
import itertools
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import InvalidBody, InvalidField, StreamdError, TooLarge
from streamd.events import EARLIEST, DataEncoding, Draft, Event
from streamd.events.bodies import decode_draft, decode_drafts
from streamd.events.settings import EventSettings
from tests.support.json_texts import nested
from tests.support.strategies import LIMITS, drafts

SMALL = EventSettings(
    max_event_bytes=40, max_topics_per_event=2, max_topic_bytes=8, max_idempotency_key_bytes=8
)

# One event each: the body, the error's class, and the field that it names.
REJECTED: list[tuple[bytes, type[StreamdError], str | None]] = [
    # not an object of that shape
    (b"5", InvalidBody, None),
    (b"null", InvalidBody, None),
    (b'"text"', InvalidBody, None),
    (b'{"topic":5}', InvalidBody, "topic"),
    (b'{"topic":["a"]}', InvalidBody, "topic"),
    (b'{"topics":"a"}', InvalidBody, "topics"),
    (b'{"topics":{"a":1}}', InvalidBody, "topics"),
    (b'{"topics":["a",5]}', InvalidBody, "topics[1]"),
    (b'{"topics":["a",null]}', InvalidBody, "topics[1]"),
    (b'{"topic":"a","type":5}', InvalidBody, "type"),
    (b'{"topic":"a","retry":"5"}', InvalidBody, "retry"),
    (b'{"topic":"a","retry":1.5}', InvalidBody, "retry"),
    (b'{"topic":"a","retry":true}', InvalidBody, "retry"),
    (b'{"topic":"a","private":1}', InvalidBody, "private"),
    (b'{"topic":"a","idempotency_key":5}', InvalidBody, "idempotency_key"),
    (b'{"topic":"a","colour":"red"}', InvalidBody, "colour"),
    (b'{"topic":"a","id":"1700000000000-000001"}', InvalidBody, "id"),
    # invalid values
    (b"{}", InvalidField, "topic"),
    (b'{"topic":null,"topics":null}', InvalidField, "topic"),
    (b'{"data":"no topic"}', InvalidField, "topic"),
    (b'{"topic":"a","topics":["a"]}', InvalidField, "topic"),
    (b'{"topic":"a","topics":[]}', InvalidField, "topic"),
    (b'{"topic":""}', InvalidField, "topic"),
    (rb'{"topic":"a\n"}', InvalidField, "topic"),
    (b'{"topic":"123456789"}', InvalidField, "topic"),
    (b'{"topics":[]}', InvalidField, "topics"),
    (b'{"topics":["a",""]}', InvalidField, "topics"),
    (b'{"topics":["a","b","c"]}', InvalidField, "topics"),
    (rb'{"topic":"a","type":"a\nid: 9"}', InvalidField, "type"),
    (rb'{"topic":"a","type":"a\u0000"}', InvalidField, "type"),
    (b'{"topic":"a","type":"gap"}', InvalidField, "type"),
    (b'{"topic":"a","retry":-1}', InvalidField, "retry"),
    (b'{"topic":"a","retry":2147483648}', InvalidField, "retry"),
    (b'{"topic":"a","retry":123456789012345678901234567890}', InvalidField, "retry"),
    (b'{"topic":"a","idempotency_key":""}', InvalidField, "idempotency_key"),
    (b'{"topic":"a","idempotency_key":"123456789"}', InvalidField, "idempotency_key"),
    (b'{"topic":"a","data":{"x":"\xff"}}', InvalidBody, "data.x"),
    (b'{"topic":"a","data":"\xed\xa0\x80"}', InvalidBody, "data"),
    (b'{"topic":"a","data":"","encoding":"hex"}', InvalidField, "encoding"),
    (b'{"topic":"a","data":"AAEC","encoding":"BASE64"}', InvalidField, "encoding"),
    (b'{"topic":"a","data":"x","encoding":"text"}', InvalidField, "encoding"),
    (b'{"topic":"a","data":[1],"encoding":"json"}', InvalidField, "encoding"),
    (b'{"topic":"a","data":"","encoding":""}', InvalidField, "encoding"),
    (b'{"topic":"a","data":"","encoding":64}', InvalidBody, "encoding"),
    (b'{"topic":"a","data":"","encoding":["base64"]}', InvalidBody, "encoding"),
    (b'{"topic":"a","data":null,"encoding":"base64"}', InvalidField, "data"),
    (b'{"topic":"a","data":1234,"encoding":"base64"}', InvalidField, "data"),
    (b'{"topic":"a","data":["AAEC"],"encoding":"base64"}', InvalidField, "data"),
    (b'{"topic":"a","data":"AAE","encoding":"base64"}', InvalidField, "data"),
    (b'{"topic":"a","data":"AA E","encoding":"base64"}', InvalidField, "data"),
    (rb'{"topic":"a","data":"AAEC\n","encoding":"base64"}', InvalidField, "data"),
    (b'{"topic":"a","data":"AB==","encoding":"base64"}', InvalidField, "data"),
    (b'{"topic":"a","data":"_-8=","encoding":"base64"}', InvalidField, "data"),
    # too large
    (b'{"topic":"a","data":"' + b"A" * 36 + b'","encoding":"base64"}', TooLarge, "data"),
    (b'{"topic":"a","data":"' + b"x" * 33 + b'"}', TooLarge, "data"),
    (b'{"topic":"a","data":[' + b"1," * 20 + b"1]}", TooLarge, "data"),
]

# Bodies outside of the profile of JSON, of which tests/json has more; and the field that is named.
NOT_JSON: list[tuple[bytes, str | None]] = [
    (b"", None),
    (b"{", None),
    (b'{"topic"', None),
    (b'{"topic":"a"}}', None),
    (b'{"topic":"a"} {"topic":"b"}', None),
    (b"{'topic':'a'}", None),
    (b'\xef\xbb\xbf{"topic":"a"}', None),
    (b'{"topic":"\xff"}', "topic"),
    (b'{"topic":"a\nb"}', None),
    (rb'{"topic":"\ud800"}', "topic"),
    (rb'{"topic":"a","data":"\ud800"}', "data"),
    (rb'{"topic":"a","data":{"x":"\ud800"}}', "data.x"),
    (b'{"topic":"a","data":NaN}', "data"),
    (b'{"topic":"a","data":[Infinity]}', "data[0]"),
    (b'{"topic":"a","data":1e400}', "data"),
    (b'{"topic":"a","retry":-Infinity}', "retry"),
    (b'{"topic":"a","data":01}', None),
    (b'{"topic":"a","data":[1,]}', None),
    (b'{"topic":"a","data":/* none */1}', None),
    (b'{"topic":"a","topic":"b"}', "topic"),
    (b'{"topic":"a","data":1,"data":2}', "data"),
    (b'{"topic":"a","data":{"x":[{"y":1,"y":1}]}}', "data.x[0].y"),
    (b'{"topic":"a","data":' + b"[" * 100_000, "data"),
    (b'{"topic":"a","data":' + nested(65) + b"}", "data"),
    (b'{"topic":"a","data":{"x":' + nested(64, objects=True) + b"}}", "data"),
    (b'{"topic":' + nested(972) + b"}", "topic"),
]


class TestOneEvent:
    def test_a_topic_alone_is_enough(self) -> None:
        assert decode_draft(b'{"topic":"a"}', LIMITS) == Draft(("a",), "")

    def test_all_fields_are_decoded(self) -> None:
        body = (
            b' { "topics" : ["a", "b", "a"], "type": "tick", "data": {"n": 1.50}, "retry": 5,'
            b' "idempotency_key": "k", "private": true } '
        )
        assert decode_draft(body, LIMITS) == Draft(
            ("a", "b"),
            '{"n":1.50}',
            encoding=DataEncoding.JSON,
            type="tick",
            retry_ms=5,
            idempotency_key="k",
            private=True,
        )

    @given(drafts(), st.booleans())
    def test_a_compact_body_is_the_same_event_as_one_with_white_space(
        self, draft: Draft, has_key: bool
    ) -> None:
        body: dict[str, object] = (
            {"topic": draft.topics[0]} if len(draft.topics) == 1 else {"topics": draft.topics}
        )
        is_json = draft.encoding is DataEncoding.JSON
        body |= {"type": draft.type, "data": msgspec.Raw(draft.data.encode()) if is_json else draft.data}
        if draft.encoding is DataEncoding.BASE64:
            body["encoding"] = "base64"
        if draft.retry_ms is not None:
            body["retry"] = draft.retry_ms
        if has_key:
            draft = draft.with_key("k")
            body["idempotency_key"] = "k"
        if draft.private:
            body["private"] = True
        compact = msgspec.json.encode(body)
        assert decode_draft(compact, LIMITS) == decode_draft(compact + b" ", LIMITS) == draft
        array = b"[" + compact + b"]"
        for text in (array, array + b" "):
            assert decode_drafts(text, LIMITS, max_events=1) == [draft]

    def test_null_means_omitted_in_all_fields_but_data(self) -> None:
        body = (
            b'{"topic":"a","topics":null,"type":null,"retry":null,"idempotency_key":null,"encoding":null,'
            b'"data":null}'
        )
        assert decode_draft(body, LIMITS) == Draft(("a",), "null", encoding=DataEncoding.JSON)

    @pytest.mark.parametrize(
        ("data", "text", "encoding"),
        [
            (b'"text"', "text", DataEncoding.TEXT),
            (rb'"two\nlines \u00e9"', "two\nlines é", DataEncoding.TEXT),
            (b'""', "", DataEncoding.TEXT),
            (b"1.50", "1.50", DataEncoding.JSON),
            (b"123456789012345678901234567890", "123456789012345678901234567890", DataEncoding.JSON),
            (b'[1, "a"]', '[1,"a"]', DataEncoding.JSON),
        ],
    )
    def test_json_data_keeps_its_numbers_to_the_digit(
        self, data: bytes, text: str, encoding: DataEncoding
    ) -> None:
        made = decode_draft(b'{"topic":"a","data":' + data + b"}", LIMITS)
        assert (made.data, made.encoding) == (text, encoding)

    @pytest.mark.parametrize(
        "data", [b'"AAEC"', b' "AAEC" ', rb'"\u0041AEC"', b'"AAEC" , "retry": null'], ids=repr
    )
    def test_bytes_are_base64_with_the_marker(self, data: bytes) -> None:
        made = decode_draft(b'{"topic":"a","encoding":"base64","data":' + data + b"}", LIMITS)
        assert made == Draft.create("a", b"\0\x01\x02", limits=LIMITS)

    def test_data_that_is_left_out_has_no_bytes(self) -> None:
        made = decode_draft(b'{"topic":"a","encoding":"base64"}', LIMITS)
        assert made == Draft.create("a", b"", limits=LIMITS)

    def test_data_has_at_most_the_size_of_an_event_as_base64(self) -> None:
        made = decode_draft(b'{"topic":"a","data":"' + b"A" * 32 + b'","encoding":"base64"}', SMALL)
        assert (made.size, Event.from_draft(made, EARLIEST).value) == (40, bytes(24))

    @pytest.mark.parametrize("objects", [False, True])
    def test_data_has_at_most_64_levels(self, *, objects: bool) -> None:
        value = nested(64, objects=objects)
        assert decode_draft(b'{"topic":"a","data":' + value + b"}", LIMITS).data == value.decode()

    @pytest.mark.parametrize(("body", "error", "field"), REJECTED)
    def test_the_error_names_the_wrong_field(
        self, body: bytes, error: type[StreamdError], field: str | None
    ) -> None:
        with pytest.raises(StreamdError) as rejected:
            decode_draft(body, SMALL)
        assert type(rejected.value) is error
        assert rejected.value.field == field
        assert "$" not in rejected.value.detail

    def test_an_array_is_rejected_as_one_event(self) -> None:
        with pytest.raises(InvalidBody, match="Expected `object`, got `array`"):
            decode_draft(b'[{"topic":"a"}]', LIMITS)

    @pytest.mark.parametrize(("body", "field"), NOT_JSON, ids=itertools.count())
    def test_json_outside_of_the_profile_is_an_invalid_body(self, body: bytes, field: str | None) -> None:
        with pytest.raises(InvalidBody) as rejected:
            decode_draft(body, LIMITS)
        assert rejected.value.field == field

    def test_an_error_of_a_line_names_the_line(self) -> None:
        with pytest.raises(InvalidBody, match="the line is not valid JSON: it ends too early") as rejected:
            decode_draft(b"{", LIMITS, noun="the line")
        assert rejected.value.field is None

    def test_any_proper_prefix_of_a_body_is_rejected(self) -> None:
        body = b'{"topics":["a"],"type":"tick","data":{"n":[1.50,"\\u00e9",null]},"retry":5}'
        for length in range(len(body)):
            with pytest.raises(InvalidBody, match=r"^the body "):
                decode_draft(body[:length], LIMITS)

    def test_the_error_quotes_a_long_name_in_part(self) -> None:
        with pytest.raises(InvalidBody) as rejected:
            decode_draft(b'{"topic":"a","' + b"x" * 100_000 + b'":1}', LIMITS)
        assert len(rejected.value.detail) <= 200
        assert len(rejected.value.field or "") <= 200

    @given(drafts())
    def test_any_draft_round_trips_as_a_body(self, made: Draft) -> None:
        assert decode_draft(as_body(made), LIMITS) == made

    @given(st.binary(max_size=60))
    def test_any_bytes_are_decoded_or_rejected(self, body: bytes) -> None:
        """Only these three errors, all of them 4xx, are ever raised."""
        for text in (body, b'{"topic":"a","data":' + body + b"}", b'{"topic":"' + body + b'"}'):
            with contextlib.suppress(InvalidBody, InvalidField, TooLarge):
                decode_draft(text, SMALL)


def as_body(made: Draft) -> bytes:
    """Encode a draft as a publisher may, with every escape that JSON allows."""
    fields = {"topics": made.topics, "type": made.type, "retry": made.retry_ms, "private": made.private}
    data = made.data if made.encoding is DataEncoding.JSON else json.dumps(made.data)
    encoding = ', "encoding": "base64"' if made.encoding is DataEncoding.BASE64 else ""
    return f'{json.dumps(fields)[:-1]}, "data": {data}{encoding}}}'.encode()


class TestAnArray:
    def test_an_array_keeps_its_order(self) -> None:
        made = decode_drafts(b'[{"topic":"b"},{"topic":"a","data":1}]', LIMITS, max_events=2)
        assert made == [Draft(("b",), ""), Draft(("a",), "1", encoding=DataEncoding.JSON)]

    def test_the_topics_of_all_events_are_bounded(self) -> None:
        four = b'{"topics":["a","b","c","d"]}'
        full = b"[" + b",".join([four] * 2) + b"]"
        assert len(decode_drafts(full, LIMITS, max_events=2)) == 2
        one = b'{"topics":["1","2","3","4","5","6","7","8","9"]}'
        with pytest.raises(TooLarge, match="one array may have 16 topics in all") as rejected:
            decode_drafts(b"[" + one + b"," + one + b"]", LIMITS, max_events=2)
        assert rejected.value.field == "[]"
        assert len(decode_drafts(b"[" + one + b"," + four + b"]", LIMITS, max_events=2)) == 2, (
            "16 of one event are"
        )

    def test_an_array_may_be_empty(self) -> None:
        assert decode_drafts(b"[]", LIMITS, max_events=2) == []

    @pytest.mark.parametrize(("body", "error", "field"), REJECTED)
    def test_the_error_names_the_wrong_field_with_its_index(
        self, body: bytes, error: type[StreamdError], field: str | None
    ) -> None:
        with pytest.raises(StreamdError) as rejected:
            decode_drafts(b'[{"topic":"fine"},' + body + b"]", SMALL, max_events=5)
        assert type(rejected.value) is error
        assert rejected.value.field == ("[1]" if field is None else f"[1].{field}")
        assert "$" not in rejected.value.detail

    @pytest.mark.parametrize(("body", "field"), NOT_JSON, ids=itertools.count())
    def test_json_outside_of_the_profile_is_an_invalid_body(self, body: bytes, field: str | None) -> None:
        with pytest.raises(InvalidBody) as rejected:
            decode_drafts(b'[{"topic":"fine"},' + body + b"]", LIMITS, max_events=5)
        assert rejected.value.field == (None if field is None else f"[1].{field}")

    def test_data_has_at_most_64_levels(self) -> None:
        body = b'[{"topic":"a"},{"topic":"a","data":' + nested(64) + b"}]"
        assert decode_drafts(body, LIMITS, max_events=2)[1].data == nested(64).decode()

    @pytest.mark.parametrize("body", [b"{}", b'{"topic":"a"}', b"5", b"null", b'"[]"'])
    def test_anything_but_an_array_is_rejected(self, body: bytes) -> None:
        with pytest.raises(InvalidBody, match="Expected `array`") as rejected:
            decode_drafts(body, LIMITS, max_events=5)
        assert rejected.value.field is None

    def test_the_length_of_an_array_is_limited(self) -> None:
        body = b'[{"topic":"a"},{"topic":"a"},{"topic":"a"}]'
        assert len(decode_drafts(body, LIMITS, max_events=3)) == 3
        with pytest.raises(TooLarge, match="at most 2 events in one array, got 3") as rejected:
            decode_drafts(body, LIMITS, max_events=2)
        assert rejected.value.field == "[]"

    def test_the_error_names_the_first_wrong_event(self) -> None:
        with pytest.raises(InvalidField, match=r"^event 1: ") as rejected:
            decode_drafts(b'[{"topic":"a"},{},{"topic":""}]', LIMITS, max_events=5)
        assert rejected.value.field == "[1].topic"

    def test_deep_nesting_in_place_of_an_event_is_rejected(self) -> None:
        with pytest.raises(InvalidBody):
            decode_drafts(b"[" * 100_000, LIMITS, max_events=5)

    @given(st.lists(drafts(), max_size=4))
    def test_any_drafts_round_trip_as_an_array(self, made: list[Draft]) -> None:
        body = b"[" + b",".join(map(as_body, made)) + b"]"
        assert decode_drafts(body, LIMITS, max_events=4) == made
