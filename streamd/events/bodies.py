"""Publish requests: the JSON of one event, of an array of events, or of lines of NDJSON."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ..errors import InvalidField, TooLarge
from ..json import decode_compact, decode_shape, inspect_json, inspection_steps
from ..steps import Steps, run_at_once
from .data import JSON, TEXT, DataEncoding, read_data
from .event import Draft, EventLimits


class EventBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One event in the JSON of a publisher; it has either ``topic`` or ``topics``."""

    topic: str | None = None
    topics: list[str] | None = None
    type: str | None = None
    data: msgspec.Raw = msgspec.Raw(b'""')
    encoding: str | None = None  # ``base64`` for bytes
    retry: int | None = None
    idempotency_key: str | None = None
    private: bool = False


class _CompactBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """The same with decoded data. It is encoded to the JSON that it was decoded from, if that is compact."""

    topic: str | None = None
    topics: list[str] | None = None
    type: str | None = None
    data: Any = ""
    encoding: str | None = None
    retry: int | None = None
    idempotency_key: str | None = None
    private: bool = False


_TOPICS_PER_EVENT: Final = 4  # of an array on average of its bound: an array is appended in one step

_COMPACT: Final = msgspec.json.Decoder(_CompactBody)
_COMPACT_ARRAY: Final = msgspec.json.Decoder(list[_CompactBody])


def decode_draft(text: bytes, limits: EventLimits, *, noun: str = "the body") -> Draft:
    """Decode and check one event.

    Args:
        text: the JSON of the event.
        limits: of the event.
        noun: the name of the text in errors.

    Raises:
        InvalidBody: the JSON or its shape is wrong.
        InvalidField: a value is wrong.
        TooLarge: the event is larger than the limits allow.
    """
    compact = decode_compact(text, _COMPACT, envelope=1)
    if compact is not None:
        return _check_compact(compact, limits)
    is_compact = inspect_json(text, noun=noun, envelope=1)
    return check_body(decode_shape(text, EventBody, noun=noun), limits, is_compact=is_compact)


def draft_steps(text: bytes, limits: EventLimits, *, noun: str = "the body") -> Steps[Draft]:
    """Do the same as :func:`decode_draft` in steps of at most some milliseconds."""
    is_compact = yield from inspection_steps(text, noun=noun, envelope=1)
    return check_body(decode_shape(text, EventBody, noun=noun), limits, is_compact=is_compact)


def decode_drafts(text: bytes, limits: EventLimits, *, max_events: int) -> list[Draft]:
    """Decode and check an array of events; one wrong event rejects them all.

    Raises:
        InvalidBody, InvalidField: as for one event, the field with its index, such as ``[3].type``.
        TooLarge: more than ``max_events``, or four times as many topics, or one of them is too large.
    """
    return run_at_once(drafts_steps(text, limits, max_events=max_events))


def drafts_steps(text: bytes, limits: EventLimits, *, max_events: int) -> Steps[list[Draft]]:
    """Do the same as :func:`decode_drafts` in steps of at most some milliseconds."""
    bodies: Sequence[EventBody | _CompactBody] | None = decode_compact(text, _COMPACT_ARRAY, envelope=2)
    is_compact = False
    if bodies is None:
        is_compact = yield from inspection_steps(text, noun="the body", envelope=2)
        bodies = decode_shape(text, list[EventBody], noun="the body")
    if len(bodies) > max_events:
        raise TooLarge(f"at most {max_events} events in one array, got {len(bodies)}", field="[]")
    max_topics = max(_TOPICS_PER_EVENT * max_events, limits.max_topics_per_event)
    drafts = []
    topics = 0
    for index, body in enumerate(bodies):
        try:
            drafts.append(
                _check_compact(body, limits)
                if isinstance(body, _CompactBody)
                else check_body(body, limits, is_compact=is_compact)
            )
        except (InvalidField, TooLarge) as error:
            raise type(error)(f"event {index}: {error.detail}", field=f"[{index}].{error.field}") from error
        topics += len(drafts[-1].topics)
        if topics > max_topics:
            raise TooLarge(f"the events of one array may have {max_topics} topics in all", field="[]")
    return drafts


def check_body(body: EventBody, limits: EventLimits, *, is_compact: bool = False) -> Draft:
    """Check one decoded event, whose JSON is within the profile of :mod:`streamd.json`.

    Args:
        body: the event.
        limits: of the event.
        is_compact: True if its JSON has no white space.

    Raises:
        InvalidField: a value is wrong.
        TooLarge: the event is larger than the limits allow.
    """
    _topics_of(body)
    data, encoding = read_data(bytes(body.data), marker=body.encoding, is_compact=is_compact)
    return _make_draft(body, data, encoding, limits)


def _check_compact(body: _CompactBody, limits: EventLimits) -> Draft:
    """Check one event as :func:`check_body` does."""
    data = body.data
    if body.encoding is None:
        if isinstance(data, str):
            return _make_draft(body, data, TEXT, limits)
        # A part of the compact text, so numbers keep their digits.
        return _make_draft(body, msgspec.json.encode(data).decode(), JSON, limits)
    _topics_of(body)
    text = msgspec.json.encode(data)
    return _make_draft(body, *read_data(text, marker=body.encoding, is_compact=True), limits)


def _make_draft(
    body: EventBody | _CompactBody, data: str, encoding: DataEncoding, limits: EventLimits
) -> Draft:
    return Draft.encoded(
        _topics_of(body),
        data,
        encoding=encoding,
        limits=limits,
        type=body.type,
        retry_ms=body.retry,
        idempotency_key=body.idempotency_key,
        private=body.private,
    )


def _topics_of(body: EventBody | _CompactBody) -> str | list[str]:
    """Return the one of ``topic`` and ``topics`` that the event has."""
    topic, topics = body.topic, body.topics
    if topic is not None:
        if topics is not None:
            raise InvalidField("the event has both 'topic' and 'topics'", field="topic")
        return topic
    if topics is None:
        raise InvalidField("the event needs 'topic' or 'topics'", field="topic")
    return topics
