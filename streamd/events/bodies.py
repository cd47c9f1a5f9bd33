"""Publish requests: the JSON of one event, of an array of events, or of lines of NDJSON."""

import re
from typing import Any, Final, TypeVar

import msgspec

from ..errors import InvalidBody, InvalidField, TooLarge
from .event import Draft, EventLimits

T = TypeVar("T")

_PATH: Final = re.compile(r" - at `\$(?P<path>.*)`$")
_NAMED: Final = re.compile(r"(?:required|unknown) field `(?P<name>[^`]*)`")
_QUOTED_CHARS: Final = 200  # an error message may quote a name that is as long as the body itself


class EventBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One event in the JSON of a publisher; it has either ``topic`` or ``topics``."""

    topic: str | None = None
    topics: list[str] | None = None
    type: str | None = None
    data: msgspec.Raw = msgspec.Raw(b'""')
    retry: int | None = None
    idempotency_key: str | None = None


def decode_json(text: str | bytes, type: type[T] | Any) -> T:
    """Decode JSON of a known shape.

    Raises:
        InvalidBody: not JSON, or another shape; ``field`` is the path of the wrong value.
    """
    try:
        return msgspec.json.decode(text, type=type)
    except msgspec.ValidationError as error:
        message = str(error)
        raise InvalidBody(_PATH.sub("", message)[:_QUOTED_CHARS], field=_field(message)) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidBody(f"not valid JSON: {error}") from error


def _field(message: str) -> str | None:
    """Return the path of the wrong value, from the text of a msgspec error."""
    path = match["path"] if (match := _PATH.search(message)) else ""
    name = match["name"] if (match := _NAMED.search(message)) else ""
    return ".".join(part for part in (path.removeprefix("."), name) if part)[:_QUOTED_CHARS] or None


def decode_draft(text: bytes, limits: EventLimits) -> Draft:
    """Decode and check one event.

    Raises:
        InvalidBody: the JSON or its shape is wrong.
        InvalidField: a value is wrong.
        TooLarge: the event is larger than the limits allow.
    """
    return _draft(decode_json(text, EventBody), limits)


def decode_drafts(text: bytes, limits: EventLimits, *, max_events: int) -> list[Draft]:
    """Decode and check an array of events; one wrong event rejects them all.

    Raises:
        InvalidBody, InvalidField: as for one event, the field with its index, such as ``[3].type``.
        TooLarge: more than ``max_events``, or one of them is too large.
    """
    bodies: list[EventBody] = decode_json(text, list[EventBody])
    if len(bodies) > max_events:
        raise TooLarge(f"at most {max_events} events in one array, got {len(bodies)}", field="[]")
    drafts = []
    for index, body in enumerate(bodies):
        try:
            drafts.append(_draft(body, limits))
        except (InvalidField, TooLarge) as error:
            raise type(error)(f"event {index}: {error.detail}", field=f"[{index}].{error.field}") from error
    return drafts


def _draft(body: EventBody, limits: EventLimits) -> Draft:
    if (body.topic is None) == (body.topics is None):
        what = "needs 'topic' or 'topics'" if body.topic is None else "has both 'topic' and 'topics'"
        raise InvalidField(f"the event {what}", field="topic")
    return Draft.create(
        body.topic if body.topics is None else body.topics,  # type: ignore[arg-type]
        body.data,
        limits=limits,
        type=body.type,
        retry_ms=body.retry,
        idempotency_key=body.idempotency_key,
    )
