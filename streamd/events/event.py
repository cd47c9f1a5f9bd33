"""The event: one immutable message, encoded once for each transport and shared by its subscribers."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, Protocol, TypeVar

import msgspec
from msgspec.structs import force_setattr, replace

from ..characters import check_text, quoted
from ..errors import InvalidField, TooLarge
from .control import RESERVED_TYPES
from .data import BASE64, JSON, TEXT, DataEncoding, decode_base64, encode_data
from .ids import EventId
from .sse import encode_block
from .topics import validate_topic

DEFAULT_TYPE: Final = "message"  # the type of an event without an `event:` field (WHATWG HTML 9.2.6)
RETRY_MS_MAX: Final = 2**31 - 1  # the longest timer a browser can hold
_SHARED_TOPICS: Final = 1024  # some 1 MB if all are as long as they may be
_SHARED_TYPES: Final = 256
_SHARED_TYPE_CHARS: Final = 64  # types have no limit but that of the event
# Size of the largest event whose encodings are kept, which are four times as large, for the groups of
# subscribers that share it. A larger one costs each of its batches a microsecond a kilobyte.
_ENCODINGS_KEPT_BYTES: Final = 512
_UNKNOWN: Final = -1  # a size that is found when the object is made


Encoded = TypeVar("Encoded", bytes, str)


class EventLimits(Protocol):
    """Limits of one event; :class:`~streamd.events.EventSettings` are those of publishers."""

    @property
    def max_event_bytes(self) -> int:
        """Maximum bytes of topics, type and data together, in UTF-8; bytes count as their base64."""

    @property
    def max_topics_per_event(self) -> int:
        """Maximum number of topics of one event."""

    @property
    def max_topic_bytes(self) -> int:
        """Maximum bytes of one topic, in UTF-8."""

    @property
    def max_idempotency_key_bytes(self) -> int:
        """Maximum bytes of an idempotency key, in UTF-8."""


class Frame(Protocol):
    """One unit that is sent to a client, with its encoding for every transport."""

    @property
    def sse(self) -> bytes:
        """One block of an event stream, with its blank line."""

    @property
    def json(self) -> bytes:
        """One JSON object: a WebSocket text frame, or an item of a long polling answer."""

    @property
    def text(self) -> str:
        """The same JSON as text."""


class Draft(msgspec.Struct, frozen=True, gc=False):
    """An event without an id, to be published. Make one with :meth:`create`, which checks every field.

    A struct of msgspec, because an object of attrs that is frozen takes ten times as long to make.
    """

    topics: tuple[str, ...]  # the first is canonical
    data: str  # the text as it is sent: of a JSON value its compact JSON, of bytes their base64
    encoding: DataEncoding = TEXT
    type: str = DEFAULT_TYPE
    retry_ms: int | None = None
    idempotency_key: str | None = None
    private: bool = False
    size: int = _UNKNOWN
    """Bytes of topics, type and data in UTF-8; those of base64 if the data is bytes. Found when left out."""

    def __post_init__(self) -> None:
        if self.size == _UNKNOWN:
            force_setattr(self, "size", _size(self.topics, self.type, self.data))

    @classmethod
    def create(
        cls,
        topics: str | Sequence[str],
        data: Any = "",
        *,
        limits: EventLimits,
        type: str | None = None,
        retry_ms: int | None = None,
        idempotency_key: str | None = None,
        private: bool = False,
        envelope: int = 0,
    ) -> "Draft":
        """Check and encode an event to be published.

        Args:
            topics: one topic or several, the canonical one first; repeats are dropped.
            data: text, sent as it is; bytes (also a ``bytearray`` or ``memoryview``), sent as base64; or any
                JSON value (also an ``msgspec.Raw`` holding one). A value that JSON represents as a string,
                such as a datetime, becomes that text; NaN becomes null.
            limits: of the whole event and of its fields.
            type: the SSE event type; None for ``message``.
            retry_ms: reconnection time for clients (ms).
            idempotency_key: the same key with the same content publishes once.
            private: callers without a token may not read it, also where ``auth.anonymous`` lets them in.
            envelope: levels of the data around the values of others, see :func:`~streamd.json.check_json`.

        Raises:
            InvalidField: a field is invalid; the error names it.
            TooLarge: topics, type and data together exceed ``limits.max_event_bytes``.
        """
        text, encoding = encode_data(data, envelope=envelope)
        return cls.encoded(
            topics,
            text,
            encoding=encoding,
            limits=limits,
            type=type,
            retry_ms=retry_ms,
            idempotency_key=idempotency_key,
            private=private,
        )

    @classmethod
    def encoded(
        cls,
        topics: str | Sequence[str],
        data: str,
        *,
        encoding: DataEncoding,
        limits: EventLimits,
        type: str | None = None,
        retry_ms: int | None = None,
        idempotency_key: str | None = None,
        private: bool = False,
    ) -> "Draft":
        """Check an event whose data is encoded and checked; see :meth:`create`.

        Args:
            data: the text, compact JSON or base64.
            encoding: which of them it is.
        """
        checked_topics, size = (
            _validate_topic(topics, limits.max_topic_bytes)
            if isinstance(topics, str)
            else _validate_topics(topics, limits)
        )
        checked_type = validate_type(type)
        size += _bytes_of(checked_type) + _bytes_of(data)
        if size > limits.max_event_bytes:
            raise TooLarge(
                f"the event has {size} bytes, the maximum is {limits.max_event_bytes}", field="data"
            )
        return cls(
            checked_topics,
            data,
            encoding,
            checked_type,
            None if retry_ms is None else _validate_retry(retry_ms),
            None if idempotency_key is None else _validate_key(idempotency_key, limits),
            private,
            size,
        )

    def with_key(self, idempotency_key: str | None) -> "Draft":
        """Return the same event with another idempotency key, which must be valid."""
        return replace(self, idempotency_key=idempotency_key)


class Event(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A published event. It equals only itself, because the log gives out each id once."""

    id: EventId
    topics: tuple[str, ...]
    type: str
    data: str
    encoding: DataEncoding
    retry_ms: int | None = None
    private: bool = False
    size: int = _UNKNOWN
    """Bytes of topics, type and data in UTF-8; those of base64 if the data is bytes. Found when left out."""
    # Encodings of a small event, each made when it is asked for first.
    _sse: bytes | None = None
    _sse_with_topics: bytes | None = None
    _json: bytes | None = None
    _text: str | None = None

    def __post_init__(self) -> None:
        if self.size == _UNKNOWN:
            force_setattr(self, "size", _size(self.topics, self.type, self.data))

    @classmethod
    def from_draft(cls, draft: Draft, event_id: EventId) -> "Event":
        """Build the event of a draft to which the log gave an id."""
        return cls(
            event_id,
            draft.topics,
            draft.type,
            draft.data,
            draft.encoding,
            draft.retry_ms,
            draft.private,
            draft.size,
        )

    @property
    def sse(self) -> bytes:
        """One block of an event stream, without an ``event:`` field for the default type.

        Bytes are base64, with a field ``encoding: base64``, which ``EventSource`` ignores.
        """
        return self._sse or self._keep("_sse", self._block(()))

    @property
    def sse_with_topics(self) -> bytes:
        """The same block with a ``topic:`` field for each topic, the canonical one first."""
        return self._sse_with_topics or self._keep("_sse_with_topics", self._block(self.topics))

    def _block(self, topics: Sequence[str]) -> bytes:
        shown_type = "" if self.type == DEFAULT_TYPE else self.type
        return encode_block(
            id=self.id,
            type=shown_type,
            topics=topics,
            base64=self.encoding is BASE64,
            data=self.data,
            retry_ms=self.retry_ms,
        )

    @property
    def json(self) -> bytes:
        """One JSON object, in which a JSON value keeps its numbers to the digit.

        Bytes are base64, marked by ``"encoding":"base64"``. :func:`~.stored.decode_event` is the inverse.
        """
        return self._json or self._keep("_json", b'{"id":"%b",%b' % (self.id.encode(), encode_members(self)))

    @property
    def text(self) -> str:
        """The same JSON as text."""
        return self._text or self._keep("_text", self.json.decode())

    def _keep(self, name: str, encoded: Encoded) -> Encoded:
        """Return an encoding, and keep it with a small event: logs keep events, and count no encodings."""
        if self.size <= _ENCODINGS_KEPT_BYTES:
            force_setattr(self, name, encoded)
        return encoded

    @property
    def value(self) -> Any:
        """The data as it was published: text, bytes, or the JSON value."""
        if self.encoding is JSON:
            return msgspec.json.decode(self.data)
        return decode_base64(self.data) if self.encoding is BASE64 else self.data


def encode_members(event: Draft | Event) -> bytes:
    """Encode the members of :attr:`Event.json` that do not depend on the id, with the closing brace."""
    end = b"}" if event.retry_ms is None else b',"retry":%d}' % event.retry_ms
    if event.encoding is BASE64:
        end = b',"encoding":"base64"' + end
    if event.private:
        end = b',"private":true' + end
    return b'"type":%b,"topics":%b,"data":%b%b' % (
        msgspec.json.encode(event.type),
        msgspec.json.encode(event.topics),
        event.data.encode() if event.encoding is JSON else msgspec.json.encode(event.data),
        end,
    )


def _size(topics: tuple[str, ...], type: str, data: str) -> int:
    return _bytes_of(type) + _bytes_of(data) + sum(map(_bytes_of, topics))


def _bytes_of(text: str) -> int:
    """Return the size in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


@lru_cache(_SHARED_TOPICS, typed=True)
def _validate_topic(topic: str, max_bytes: int) -> tuple[tuple[str, ...], int]:
    """Return the topic and its size; the same tuple to all events of it, of which a log keeps thousands."""
    valid = validate_topic(topic, max_bytes)
    return (valid,), _bytes_of(valid)


def _validate_topics(topics: Sequence[str], limits: EventLimits) -> tuple[tuple[str, ...], int]:
    if not topics:
        raise InvalidField("an event needs at least one topic", field="topics")
    if len(topics) > limits.max_topics_per_event:
        raise InvalidField(
            f"an event may have at most {limits.max_topics_per_event} topics, got {len(topics)}",
            field="topics",
        )
    unique = tuple(dict.fromkeys(validate_topic(t, limits.max_topic_bytes, field="topics") for t in topics))
    return unique, sum(map(_bytes_of, unique))


def validate_type(type: object) -> str:
    """Check the type of an event, and return it; None and empty text stand for ``message``.

    Raises:
        InvalidField: it is no text on one line, or the name of a control frame.
    """
    if type is None or type == "":
        return DEFAULT_TYPE
    if not isinstance(type, str):
        raise InvalidField(f"type must be printable text, got {quoted(type)}", field="type")
    return _validate_short_type(type) if len(type) <= _SHARED_TYPE_CHARS else _validate_type_text(type)


def _validate_type_text(type: str) -> str:
    check_text(type, "type")
    if type in RESERVED_TYPES:
        raise InvalidField(f"type {quoted(type)} is reserved for streamd's own control frames", field="type")
    return type


_validate_short_type = lru_cache(_SHARED_TYPES, typed=True)(_validate_type_text)
"""Return the same text to all events of a type."""


def _validate_retry(retry_ms: object) -> int:
    if isinstance(retry_ms, bool) or not isinstance(retry_ms, int) or not 0 <= retry_ms <= RETRY_MS_MAX:
        raise InvalidField(f"retry must be whole milliseconds from 0 to {RETRY_MS_MAX}", field="retry")
    return retry_ms


def _validate_key(key: object, limits: EventLimits) -> str:
    return validate_topic(key, limits.max_idempotency_key_bytes, field="idempotency_key")
