"""Decode events from the JSON of :attr:`~.event.Event.json`, in which a log stores them.

It is the inverse of the encoder: the decoded event has the fields of the encoded one, and numbers keep their
digits. The JSON is streamd's own, so it is not checked against the profile of :mod:`streamd.json` again.
"""

from typing import Final, Literal

import msgspec

from ..errors import InvalidField
from .data import BASE64, JSON, TEXT, decode_base64
from .event import Event
from .ids import EventId


def decode_event(raw: bytes) -> Event:
    """Decode the JSON of one event.

    Raises:
        msgspec.MsgspecError: it is damaged.
    """
    try:
        return _build(_EVENT.decode(raw))
    except (UnicodeError, RecursionError, InvalidField) as error:
        raise msgspec.DecodeError(str(error)) from error


def decode_events(raw: bytes) -> list[Event]:
    """Decode a JSON array of events, see :func:`decode_event`."""
    try:
        return [_build(stored) for stored in _EVENTS.decode(raw)]
    except (UnicodeError, RecursionError, InvalidField) as error:
        raise msgspec.DecodeError(str(error)) from error


class StoredEvent(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """The members of the JSON of an event."""

    id: EventId
    type: str
    topics: tuple[str, ...]
    data: msgspec.Raw
    encoding: Literal["base64"] | None = None
    retry: int | None = None
    private: bool = False


_EVENT: Final = msgspec.json.Decoder(StoredEvent)
_EVENTS: Final = msgspec.json.Decoder(list[StoredEvent])
_TEXT: Final = msgspec.json.Decoder(str)


def _build(stored: StoredEvent) -> Event:
    raw = bytes(stored.data)
    if stored.encoding is not None:
        data, encoding = _TEXT.decode(raw), BASE64
        decode_base64(data)
    elif raw.startswith(b'"'):  # no JSON value of an event is a string, see `data`
        data, encoding = _TEXT.decode(raw), TEXT
    else:
        data, encoding = raw.decode(), JSON
    return Event(stored.id, stored.topics, stored.type, data, encoding, stored.retry, stored.private)
