"""The JSON of a publish request: one event, an array of them, or lines of NDJSON."""

import re
from typing import Any, Final, TypeVar

import msgspec

from ..errors import InvalidBody, InvalidField, TooLarge
from .event import Draft, EventLimits

T = TypeVar("T")

_PATH: Final = re.compile(r" - at `\$(?P<path>.*)`$")
_NAMED: Final = re.compile(r"(?:required|unknown) field `(?P<name>[^`]*)`")
_QUOTED_CHARS: Final = 200  # a message may quote a name from the body, which may be as long as the body


class EventBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One event as a publisher writes it. Either ``topic`` or ``topics``."""

    topic: str | None = None
    topics: list[str] | None = None
    type: str | None = None
    data: msgspec.Raw = msgspec.Raw(b'""')
    retry: int | None = None
    idempotency_key: str | None = None


def decode_json(text: str | bytes, type: type[T] | Any) -> T:
    """Read JSON of a known shape.

    Raises:
        InvalidBody: not JSON, or another shape; ``field`` is the path of what is wrong.
    """
    try:
        return msgspec.json.decode(text, type=type)
    except msgspec.ValidationError as error:
        message = str(error)
        raise InvalidBody(_PATH.sub("", message)[:_QUOTED_CHARS], field=_field(message)) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidBody(f"not valid JSON: {error}") from error


def _field(message: str) -> str | None:
    path = match["path"] if (match := _PATH.search(message)) else ""
    name = match["name"] if (match := _NAMED.search(message)) else ""
    return ".".join(part for part in (path.removeprefix("."), name) if part)[:_QUOTED_CHARS] or None


def decode_draft(text: bytes, limits: EventLimits) -> Draft:
    """One event.

    Raises:
        InvalidBody: the JSON or its shape is wrong.
        InvalidField: a value is wrong.
        TooLarge: the event is larger than the limits allow.
    """
    return _draft(decode_json(text, EventBody), limits)


def decode_drafts(text: bytes, limits: EventLimits, *, max_events: int) -> list[Draft]:
    """An array of events; any that is wrong refuses them all.

    Raises:
        InvalidBody, InvalidField: as for one event, the field with its place, such as ``[3].type``.
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
