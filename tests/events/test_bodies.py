"""Publish requests: what is read, and which field is named when it cannot be."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.config.settings import EventSettings
from streamd.errors import InvalidBody, InvalidField, StreamdError, TooLarge
from streamd.events import Draft
from streamd.events.bodies import decode_draft, decode_drafts, decode_json
from tests.support.strategies import LIMITS, drafts

SMALL = EventSettings(
    max_event_bytes=40, max_topics_per_event=2, max_topic_bytes=8, max_idempotency_key_bytes=8
)

# Each is one event: the body, the error's class and the field it names.
REFUSED: list[tuple[bytes, type[StreamdError], str | None]] = [
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
    (b'{"topic":"a","idempotency_key":5}', InvalidBody, "idempotency_key"),
    (b'{"topic":"a","colour":"red"}', InvalidBody, "colour"),
    (b'{"topic":"a","id":"1700000000000-000001"}', InvalidBody, "id"),
    # values that cannot be
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
    (b'{"topic":"a","data":{"x":"\xff"}}', InvalidField, "data"),
    (b'{"topic":"a","data":"\xed\xa0\x80"}', InvalidField, "data"),
    # too large
    (b'{"topic":"a","data":"' + b"x" * 33 + b'"}', TooLarge, "data"),
    (b'{"topic":"a","data":[' + b"1," * 20 + b"1]}", TooLarge, "data"),
]

NOT_JSON = [
    b"",
    b" ",
    b"{",
    b'{"topic"',
    b'{"topic":"a"',
    b'{"topic":"a",}',
    b'{"topic":"a"}}',
    b'{"topic":"a"} {"topic":"b"}',
    b"{'topic':'a'}",
    b'{topic:"a"}',
    b'{"topic":"a" "type":"b"}',
    b'\xef\xbb\xbf{"topic":"a"}',
    b'{"topic":"\xff"}',
    b'{"topic":"a\nb"}',
    rb'{"topic":"\ud800"}',
    rb'{"topic":"a","data":"\ud800"}',
    rb'{"topic":"a","data":{"x":"\ud800"}}',
    rb'{"topic":"a","data":"\x"}',
    b'{"topic":"a","data":{"x":"a\nb"}}',
    b'{"topic":"a","data":NaN}',
    b'{"topic":"a","data":[Infinity]}',
    b'{"topic":"a","data":-Infinity}',
    b'{"topic":"a","data":01}',
    b'{"topic":"a","data":.5}',
    b'{"topic":"a","data":+1}',
    b'{"topic":"a","data":undefined}',
    b'{"topic":"a","data":[1,]}',
    b'{"topic":"a","data":}',
    b'{"topic":"a","data":/* none */1}',
    b'{"topic":"a","data":' + b"[" * 100_000,
    b'{"topic":"a","data":' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"topic":"a","data":' + b'{"x":' * 5000 + b"1" + b"}" * 5001,
]


class TestOneEvent:
    def test_the_least_there_can_be(self) -> None:
        assert decode_draft(b'{"topic":"a"}', LIMITS) == Draft(("a",), "")

    def test_everything_there_can_be(self) -> None:
        body = (
            b' { "topics" : ["a", "b", "a"], "type": "tick", "data": {"n": 1.50}, "retry": 5,'
            b' "idempotency_key": "k" } '
        )
        assert decode_draft(body, LIMITS) == Draft(
            ("a", "b"), '{"n":1.50}', is_json=True, type="tick", retry_ms=5, idempotency_key="k"
        )

    def test_null_is_as_good_as_left_out_but_for_data(self) -> None:
        body = b'{"topic":"a","topics":null,"type":null,"retry":null,"idempotency_key":null,"data":null}'
        assert decode_draft(body, LIMITS) == Draft(("a",), "null", is_json=True)

    @pytest.mark.parametrize(
        ("data", "text", "is_json"),
        [
            (b'"text"', "text", False),
            (rb'"two\nlines \u00e9"', "two\nlines é", False),
            (b'""', "", False),
            (b"1.50", "1.50", True),
            (b"123456789012345678901234567890", "123456789012345678901234567890", True),
            (b'[1, "a"]', '[1,"a"]', True),
        ],
    )
    def test_data_is_text_or_json_kept_to_the_digit(self, data: bytes, text: str, *, is_json: bool) -> None:
        made = decode_draft(b'{"topic":"a","data":' + data + b"}", LIMITS)
        assert (made.data, made.is_json) == (text, is_json)

    def test_of_a_repeated_name_the_last_counts(self) -> None:
        """RFC 8259 section 4 leaves it open; here it is as in JavaScript. Inside `data` all are kept."""
        body = b'{"topic":"a","topic":"b","data":1,"data":{"x":1,"x":2}}'
        assert decode_draft(body, LIMITS) == Draft(("b",), '{"x":1,"x":2}', is_json=True)

    @pytest.mark.parametrize(("body", "error", "field"), REFUSED)
    def test_what_is_wrong_is_named(self, body: bytes, error: type[StreamdError], field: str | None) -> None:
        with pytest.raises(StreamdError) as refused:
            decode_draft(body, SMALL)
        assert type(refused.value) is error
        assert refused.value.field == field
        assert "$" not in refused.value.detail

    def test_an_array_is_not_one_event(self) -> None:
        with pytest.raises(InvalidBody, match="Expected `object`, got `array`"):
            decode_draft(b'[{"topic":"a"}]', LIMITS)

    @pytest.mark.parametrize("body", NOT_JSON, ids=lambda body: repr(body[:40]))
    def test_what_is_not_json_is_an_invalid_body(self, body: bytes) -> None:
        with pytest.raises(InvalidBody, match=r"^not valid JSON: ") as refused:
            decode_draft(body, LIMITS)
        assert refused.value.field is None

    def test_any_beginning_of_a_body_is_refused(self) -> None:
        body = b'{"topics":["a"],"type":"tick","data":{"n":[1.50,"\\u00e9",null]},"retry":5}'
        for length in range(len(body)):
            with pytest.raises(InvalidBody, match=r"^not valid JSON: "):
                decode_draft(body[:length], LIMITS)

    def test_a_long_name_is_not_repeated_whole(self) -> None:
        with pytest.raises(InvalidBody) as refused:
            decode_draft(b'{"topic":"a","' + b"x" * 100_000 + b'":1}', LIMITS)
        assert len(refused.value.detail) <= 200
        assert len(refused.value.field or "") <= 200

    @given(drafts())
    def test_any_draft_can_be_written_as_a_body(self, made: Draft) -> None:
        assert decode_draft(as_body(made), LIMITS) == made

    @given(st.binary(max_size=60))
    def test_any_bytes_are_read_or_refused(self, body: bytes) -> None:
        """Nothing but the three errors, which are the client's fault, ever comes out."""
        for text in (body, b'{"topic":"a","data":' + body + b"}", b'{"topic":"' + body + b'"}'):
            with contextlib.suppress(InvalidBody, InvalidField, TooLarge):
                decode_draft(text, SMALL)


def as_body(made: Draft) -> bytes:
    """A body a publisher may write for this draft, with every escape that JSON allows."""
    fields = {"topics": made.topics, "type": made.type, "retry": made.retry_ms}
    data = made.data if made.is_json else json.dumps(made.data)
    return f'{json.dumps(fields)[:-1]}, "data": {data}}}'.encode()


class TestAnArray:
    def test_it_keeps_its_order(self) -> None:
        made = decode_drafts(b'[{"topic":"b"},{"topic":"a","data":1}]', LIMITS, max_events=2)
        assert made == [Draft(("b",), ""), Draft(("a",), "1", is_json=True)]

    def test_it_may_be_empty(self) -> None:
        assert decode_drafts(b"[]", LIMITS, max_events=2) == []

    @pytest.mark.parametrize(("body", "error", "field"), REFUSED)
    def test_what_is_wrong_is_named_with_its_place(
        self, body: bytes, error: type[StreamdError], field: str | None
    ) -> None:
        with pytest.raises(StreamdError) as refused:
            decode_drafts(b'[{"topic":"fine"},' + body + b"]", SMALL, max_events=5)
        assert type(refused.value) is error
        assert refused.value.field == ("[1]" if field is None else f"[1].{field}")
        assert "$" not in refused.value.detail

    @pytest.mark.parametrize("body", [b for b in NOT_JSON if b.strip()], ids=lambda body: repr(body[:40]))
    def test_what_is_not_json_is_an_invalid_body(self, body: bytes) -> None:
        with pytest.raises(InvalidBody) as refused:
            decode_drafts(b'[{"topic":"fine"},' + body, LIMITS, max_events=5)
        assert refused.value.field is None

    @pytest.mark.parametrize("body", [b"{}", b'{"topic":"a"}', b"5", b"null", b'"[]"'])
    def test_anything_but_an_array_is_refused(self, body: bytes) -> None:
        with pytest.raises(InvalidBody, match="Expected `array`") as refused:
            decode_drafts(body, LIMITS, max_events=5)
        assert refused.value.field is None

    def test_its_length_is_bounded(self) -> None:
        body = b'[{"topic":"a"},{"topic":"a"},{"topic":"a"}]'
        assert len(decode_drafts(body, LIMITS, max_events=3)) == 3
        with pytest.raises(TooLarge, match="at most 2 events in one array, got 3") as refused:
            decode_drafts(body, LIMITS, max_events=2)
        assert refused.value.field == "[]"

    def test_the_first_that_is_wrong_is_named(self) -> None:
        with pytest.raises(InvalidField, match=r"^event 1: ") as refused:
            decode_drafts(b'[{"topic":"a"},{},{"topic":""}]', LIMITS, max_events=5)
        assert refused.value.field == "[1].topic"

    def test_deep_nesting_where_an_event_should_be(self) -> None:
        with pytest.raises(InvalidBody):
            decode_drafts(b"[" * 100_000, LIMITS, max_events=5)

    @given(st.lists(drafts(), max_size=4))
    def test_any_drafts_can_be_written_as_an_array(self, made: list[Draft]) -> None:
        body = b"[" + b",".join(map(as_body, made)) + b"]"
        assert decode_drafts(body, LIMITS, max_events=4) == made


class TestDecodeJson:
    def test_text_and_bytes_are_read_alike(self) -> None:
        assert decode_json('["é"]', list[str]) == decode_json('["é"]'.encode(), list[str]) == ["é"]

    def test_text_that_utf8_cannot_hold_is_refused(self) -> None:
        with pytest.raises(InvalidBody, match=r"^not valid JSON: "):
            decode_json('["\ud800"]', list[str])

    def test_the_cause_is_kept(self) -> None:
        with pytest.raises(InvalidBody) as refused:
            decode_json("[5]", list[str])
        assert refused.value.__cause__ is not None
