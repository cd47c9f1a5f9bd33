"""Bodies of requests: JSON, events, arrays of events."""

import json
import math
import re
from typing import Any, Final

import msgspec

from streamd.errors import InvalidBody, InvalidField, TooLarge
from streamd.events import EventSettings
from streamd.events.bodies import decode_draft, decode_drafts
from streamd.events.data import BASE64, JSON
from streamd.events.event import Draft
from streamd.events.sse import encode_block
from streamd.json import DEPTH_MAX, check_json, inspect_json, inspection_steps
from streamd.steps import run_at_once
from tests.fuzz.target import Target, check_refusal
from tests.support.json_texts import FAULTS
from tests.support.sse_model import read

_LIMITS: Final = EventSettings(max_event_bytes=400, max_topic_bytes=100, max_batch_events=3)
_MEMBERS: Final = ("topic", "topics", "type", "data", "encoding", "retry", "idempotency_key", "private")
_JSON_WORDS: Final = (
    rb"\ud83d",
    rb"\ude00",
    rb"\u0000",
    rb"\"",
    b"1e400",
    b"-0.0",
    b"9" * 309,
    b"NaN",
    b"Infinity",
    b"\xef\xbb\xbf",
    b"[" * 65,
    b"]" * 65,
    b"\xe2\x80\xa8",
)
_WORDS: Final = (*(f'"{name}":'.encode() for name in _MEMBERS), b'"base64"', b'"gap"', *_JSON_WORDS)
_EVENTS: Final = (
    b'{"topic":"a","data":"x\\r\\ny"}',
    b'{"topics":["a","b/c"],"type":"t","data":{"a":[1,2.50,null]},"retry":5,"private":true}',
    b'{"topic":"a","data":"AAEC","encoding":"base64","idempotency_key":"k"}',
    b' { "topic" : "\xc3\xa9" , "data" : [ 1E2, "\\u0041" ] } ',
)
_LINE_END: Final = re.compile("\r\n|\r|\n")


def _take_event(data: bytes) -> None:
    draft = _decode(data)
    array = b"[" + data + b"]"
    try:
        drafts = decode_drafts(array, _LIMITS, max_events=3)
    except (InvalidBody, InvalidField, TooLarge) as error:
        check_refusal(error)
        assert draft is None, f"the event is refused in an array: {error}"
        return
    assert draft is None or drafts == [draft]


def _take_events(data: bytes) -> None:
    try:
        drafts = decode_drafts(data, _LIMITS, max_events=3)
    except (InvalidBody, InvalidField, TooLarge) as error:
        check_refusal(error)
        return
    assert len(drafts) <= 3
    for draft in drafts:
        assert _decode(_encode(draft)) == draft


def _decode(data: bytes) -> Draft | None:
    """Decode an event, and check what readers make of it."""
    try:
        draft = decode_draft(data, _LIMITS)
    except (InvalidBody, InvalidField, TooLarge) as error:
        check_refusal(error)
        return None
    assert decode_draft(_encode(draft), _LIMITS) == draft
    block = encode_block(id="1", type=draft.type, topics=draft.topics, data=draft.data)
    (event,) = read([block]).events
    assert (getattr(event, "type", None), event.last_event_id) == (draft.type, "1")
    assert getattr(event, "data", None) == _LINE_END.sub("\n", draft.data)
    return draft


def _encode(draft: Draft) -> bytes:
    members: dict[str, Any] = {
        "topics": draft.topics,
        "type": draft.type,
        "data": msgspec.Raw(draft.data.encode()) if draft.encoding is JSON else draft.data,
        "retry": draft.retry_ms,
        "idempotency_key": draft.idempotency_key,
        "private": draft.private,
    }
    if draft.encoding is BASE64:
        members["encoding"] = "base64"
    return msgspec.json.encode(members)


def _take_json(data: bytes) -> None:
    """Compare with the standard library's decoder, made strict."""
    try:
        expected = [_strictly(data)]
    except (ValueError, RecursionError):
        expected = []
    try:
        value = check_json(data)
        run_at_once(inspection_steps(data, noun="the body", step_bytes=7))
    except InvalidBody as error:
        check_refusal(error)
        assert not expected, f"valid JSON is refused: {error}"
        return
    assert expected, "invalid JSON is accepted"
    assert _is_same(value, expected[0])
    encoded = msgspec.json.encode(value)
    assert not inspect_json(data, noun="the body") or encoded == data
    assert inspect_json(encoded, noun="the body")


def _strictly(data: bytes) -> Any:
    value = json.loads(
        data.decode(),
        object_pairs_hook=_unique,
        parse_constant=_refuse,
        parse_float=_finite,
        parse_int=lambda text: (_finite(text), int(text))[1],
    )
    json.dumps(value, ensure_ascii=False).encode()
    if _depth(value) > DEPTH_MAX:
        raise ValueError("too deep")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("two members of one name")
    return found


def _refuse(text: str) -> Any:
    raise ValueError(text)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(text)
    return value


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def _is_same(one: Any, other: Any) -> bool:
    """Compare values; an integer that does not fit into 64 bits may have become a float."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(_is_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, float) and isinstance(other, int) and not isinstance(other, bool):
        return one == float(other)
    return type(one) is type(other) and bool(one == other)


TARGETS: Final = {
    "event": Target(_take_event, _EVENTS, _WORDS),
    "events": Target(_take_events, (b"[" + b",".join(_EVENTS[:3]) + b"]", b"[]"), _WORDS),
    "json": Target(
        _take_json,
        (*(fault.text for fault in FAULTS if len(fault.text) <= 1024), *_EVENTS),
        _JSON_WORDS,
    ),
}
