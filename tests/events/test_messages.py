"""The JSON messages of WebSocket and long polling, from both sides."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import InvalidBody, InvalidField, ShuttingDown, StreamdError
from streamd.events import Control, ControlName, CursorMove, DataEncoding, Event, EventId, Pattern, Selectors
from streamd.events.messages import (
    ClientMessage,
    Ping,
    Pong,
    Publish,
    Subscribe,
    Unsubscribe,
    decode_client_message,
    error,
    pong,
    published,
    subscribed,
)
from tests.support.server_messages import ServerMessage, decode_server_message
from tests.support.strategies import events, ids, json_values, retries, texts

ID = EventId("1700000000000-000001")


class TestFromAClient:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ('{"control":"ping"}', Ping()),
            ('{"control":"ping","nonce":"é"}', Ping(nonce="é")),
            ('{"nonce":7,"control":"ping"}', Ping(nonce=7)),
            ('{"control":"ping","nonce":null}', Ping()),
            ('{"control":"pong"}', Pong()),
            ('{"control":"pong","nonce":7}', Pong(nonce=7)),
            ('{"control":"subscribe"}', Subscribe()),
            ('{"control":"subscribe","topics":["a","b"]}', Subscribe(topics=["a", "b"])),
            ('{"control":"subscribe","patterns":["a/*"]}', Subscribe(patterns=["a/*"])),
            (
                ' {"topics": ["a"], "patterns": ["*"], "control": "unsubscribe"} ',
                Unsubscribe(topics=["a"], patterns=["*"]),
            ),
            (
                '{"control":"publish","nonce":1,"topic":"a","type":"t","data":{"n":1.0},"private":true}',
                Publish(nonce=1, topic="a", type="t", data=msgspec.Raw(b'{"n":1.0}'), private=True),
            ),
        ],
    )
    def test_each_message_is_decoded(self, text: str, expected: ClientMessage) -> None:
        assert decode_client_message(text) == expected
        assert decode_client_message(text.encode()) == expected

    @pytest.mark.parametrize(
        ("text", "field"),
        [
            ("", None),
            ("ping", None),
            ("{", None),
            ('{"control":"ping"', None),
            ('{"control":"ping"}{"control":"ping"}', None),
            ("[]", None),
            ('["ping"]', None),
            ("null", None),
            ("[" * 100_000, None),
            ("{}", "control"),
            ('{"topics":["a"]}', "control"),
            ('{"control":null}', "control"),
            ('{"control":5}', "control"),
            ('{"control":"dance"}', "control"),
            ('{"control":"Ping"}', "control"),
            ('{"control":"connected"}', "control"),
            ('{"control":"cursor","id":"1700000000000-000001"}', "control"),
            ('{"control":"ping","nonce":1.5}', "nonce"),
            ('{"control":"ping","nonce":["a"]}', "nonce"),
            ('{"control":"ping","topics":["a"]}', "topics"),
            ('{"control":"pong","topics":["a"]}', "topics"),
            ('{"control":"subscribe","topics":"a"}', "topics"),
            ('{"control":"subscribe","topics":null}', "topics"),
            ('{"control":"subscribe","topics":["a",5]}', "topics[1]"),
            ('{"control":"subscribe","patterns":[[]]}', "patterns[0]"),
            ('{"control":"subscribe","pattern":["a"]}', "pattern"),
            ('{"control":"unsubscribe","after":"earliest"}', "after"),
            ('{"control":"publish","topic":"a","id":"1700000000000-000001"}', "id"),
            ('{"control":"publish","topics":"a"}', "topics"),
            ('{"control":"published","nonce":1}', "control"),
        ],
    )
    def test_anything_else_is_rejected_and_the_field_named(self, text: str, field: str | None) -> None:
        with pytest.raises(InvalidBody) as rejected:
            decode_client_message(text)
        assert rejected.value.field == field

    def test_the_error_quotes_a_long_name_in_part(self) -> None:
        with pytest.raises(InvalidBody) as rejected:
            decode_client_message('{"control":"' + "x" * 100_000 + '"}')
        assert len(rejected.value.detail) <= 200

    @given(st.text() | st.binary())
    def test_random_text_is_rejected(self, text: str | bytes) -> None:
        with pytest.raises(InvalidBody):
            decode_client_message(text)


class TestFromTheServer:
    @given(events())
    def test_an_event_round_trips(self, sent: Event) -> None:
        expected = ServerMessage(
            id=sent.id, type=sent.type, topics=sent.topics, data=sent.value, retry=sent.retry_ms
        )
        if sent.encoding is DataEncoding.BASE64:
            expected = msgspec.structs.replace(expected, data=sent.data, encoding="base64")
        assert decode_server_message(sent.json) == expected
        assert decode_server_message(sent.text) == expected

    @given(
        st.sampled_from(ControlName),
        st.dictionaries(
            st.sampled_from(["reason", "requested", "data", "x"]) | texts, json_values, max_size=4
        ),
        retries,
    )
    def test_a_control_frame_round_trips(
        self, name: ControlName, data: dict[str, Any], retry_ms: int | None
    ) -> None:
        for field in ("control", "id", "type", "topics", "retry", "fields"):
            data.pop(field, None)  # these have their own types and tests
        received = decode_server_message(Control(name, data, retry_ms).json)
        retry = {} if retry_ms is None else {"retry": retry_ms}
        assert received == ServerMessage(control=name, fields={**data, **retry})

    @given(ids)
    def test_a_cursor_move_round_trips(self, event_id: EventId) -> None:
        expected = ServerMessage(control="cursor", id=event_id, fields={"id": event_id})
        assert decode_server_message(CursorMove(event_id).text) == expected

    def test_unknown_fields_of_a_later_server_are_ignored(self) -> None:
        received = decode_server_message('{"id":"1","type":"a","topics":["t"],"data":1,"colour":"red"}')
        assert received == ServerMessage(id="1", type="a", topics=("t",), data=1)

    @pytest.mark.parametrize(
        ("text", "field"),
        [
            ("", None),
            ("[]", None),
            ("null", None),
            ('{"id":"1"', None),
            ("[" * 100_000, None),
            ("{}", "id"),
            ('{"id":""}', "id"),
            ('{"type":"a","data":1}', "id"),
            ('{"control":""}', "id"),
            ('{"id":5}', "id"),
            ('{"control":5}', "control"),
            ('{"control":null}', "control"),
            ('{"control":"cursor","id":5}', "id"),
            ('{"id":"1","type":5}', "type"),
            ('{"id":"1","topics":"a"}', "topics"),
            ('{"id":"1","topics":["a",5]}', "topics[1]"),
            ('{"id":"1","retry":"5"}', "retry"),
        ],
    )
    def test_anything_else_is_rejected_and_the_field_named(self, text: str, field: str | None) -> None:
        with pytest.raises(InvalidBody) as rejected:
            decode_server_message(text)
        assert rejected.value.field == field


class TestAnswers:
    @pytest.mark.parametrize("nonce", [None, "", "é", 7])
    def test_a_pong_has_the_nonce_of_the_ping(self, nonce: str | int | None) -> None:
        assert json.loads(pong(Ping(nonce=nonce)).json) == {"control": "pong", "nonce": nonce}

    @pytest.mark.parametrize("nonce", [None, "", "é", 7])
    def test_the_answers_to_an_event_have_its_nonce(self, nonce: str | int | None) -> None:
        event = Publish(topic="a", nonce=nonce)
        assert json.loads(published(event, ID).json) == {"control": "published", "nonce": nonce, "id": ID}
        refused = json.loads(error(ShuttingDown("draining"), event).json)
        expected = {"control": "error", "nonce": nonce, "code": "shutting-down", "detail": "draining"}
        assert refused == expected

    def test_subscribed_has_the_present_selectors_sorted(self) -> None:
        selectors = Selectors({"b", "a"}, {Pattern("y/*"), Pattern("x/**")})
        assert json.loads(subscribed(selectors, ID).json) == {
            "control": "subscribed",
            "topics": ["a", "b"],
            "patterns": ["x/**", "y/*"],
            "cursor": ID,
        }

    def test_subscribed_round_trips(self) -> None:
        received = decode_server_message(subscribed(Selectors({"a"}), ID).json)
        assert received == ServerMessage(
            control="subscribed", fields={"topics": ["a"], "patterns": [], "cursor": ID}
        )

    @pytest.mark.parametrize(
        ("problem", "expected"),
        [
            (
                InvalidField("topics must not be empty", field="topics"),
                {"code": "invalid-field", "detail": "topics must not be empty", "field": "topics"},
            ),
            (ShuttingDown("draining"), {"code": "shutting-down", "detail": "draining"}),
        ],
    )
    def test_an_error_has_its_code_and_field(self, problem: StreamdError, expected: dict[str, str]) -> None:
        assert json.loads(error(problem).json) == {"control": "error", **expected}
