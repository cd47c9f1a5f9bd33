"""Events as Redis stores them: a head that scripts read, and a body; and ids as Redis writes them."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from ...events import Draft, Event, EventId
from ...events.data import DataEncoding
from ...events.ids import make_event_id, split_event_id


class StoredBody(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The members of an event that scripts do not need, and a note of its publisher for all nodes."""

    type: str
    data: str
    encoding: str
    retry_ms: int | None
    note: str = ""
    private: bool = False


_HEAD: Final = msgspec.msgpack.Decoder(list[int | str])
_BODY: Final = msgspec.msgpack.Decoder(StoredBody)
_encode: Final = msgspec.msgpack.Encoder().encode


def encode_head(draft: Draft) -> bytes:
    """Encode the size (bytes) and the topics."""
    return _encode([draft.size, *draft.topics])


def encode_body(draft: Draft, note: str = "") -> bytes:
    """Encode type, data, its encoding, the reconnection time and a note."""
    return _encode(StoredBody(draft.type, draft.data, draft.encoding, draft.retry_ms, note, draft.private))


def decode_event(event_id: EventId, head: bytes, body: bytes) -> tuple[Event, str]:
    """Decode an event, and its note.

    Raises:
        msgspec.MsgspecError, ValueError: it is damaged.
    """
    topics: Any = _HEAD.decode(head)[1:]
    stored = _BODY.decode(body)
    event = Event(
        event_id,
        tuple(topics),
        stored.type,
        stored.data,
        DataEncoding(stored.encoding),
        stored.retry_ms,
        stored.private,
    )
    return event, stored.note


def to_redis(event_id: EventId) -> str:
    """Return the id in Redis' form, without leading zeros."""
    ms, sequence = split_event_id(event_id)
    return f"{ms}-{sequence}"


def from_redis(text: bytes) -> EventId:
    """Return an id that Redis wrote."""
    ms, _, sequence = text.partition(b"-")
    return make_event_id(int(ms), int(sequence))


def entry_events(entry_id: bytes, fields: Sequence[bytes]) -> Iterator[tuple[EventId, bytes, bytes]]:
    """Yield id, head and body of the events of a stream's entry; dropped ones are left out."""
    ms, _, last = entry_id.partition(b"-")
    first = int(last) - len(fields) // 2 + 2
    for index in range(2, len(fields), 2):
        if fields[index]:
            yield (
                make_event_id(int(ms), first + index // 2 - 1),
                fields[index],
                fields[index + 1],
            )
