"""Unlogged events: messages of a program to some clients alone, which no log keeps."""

from functools import cached_property
from typing import Any

import attrs
import msgspec

from ..errors import TooLarge
from .control import MessageName
from .data import BASE64, JSON, DataEncoding, encode_data
from .event import DEFAULT_TYPE, EventLimits, validate_type
from .sse import encode_block


@attrs.frozen(eq=False)
class UnloggedEvent:
    """An event that a program sends to one client, or to some, past the log.

    Args:
        data: text, sent as it is; bytes, sent as base64; or any JSON value.
        type: the SSE event type.
        id: the program's own id, which becomes the client's last event id; empty for none. Only a generated
            stream may have ids of its own: in a stream from the log they would move the client's cursor.
        retry_ms: reconnection time (ms).
        envelope: levels of the data around the values of others, see :func:`~streamd.json.check_json`.

    Raises:
        InvalidField: ``data`` is neither text, bytes nor a JSON value.
    """

    data: Any
    type: str = DEFAULT_TYPE
    id: str = ""
    retry_ms: int | None = None
    envelope: int = attrs.field(default=0, kw_only=True, repr=False)
    _encoded: tuple[str, DataEncoding] = attrs.field(
        init=False,
        repr=False,
        default=attrs.Factory(lambda self: encode_data(self.data, envelope=self.envelope), takes_self=True),
    )

    @classmethod
    def create(cls, data: Any, *, limits: EventLimits, type: str | None = None) -> "UnloggedEvent":
        """Check a message without an id, as :meth:`Draft.create` checks an event.

        Args:
            data: text, bytes, or any JSON value (also an ``msgspec.Raw`` holding one).
            limits: its ``max_event_bytes`` bounds type and data together.
            type: the SSE event type; None for ``message``.

        Raises:
            InvalidField: a field is invalid; the error names it.
            TooLarge: the message is larger than the limit.
        """
        message = cls(data, validate_type(type))
        if message.size > limits.max_event_bytes:
            raise TooLarge(
                f"the message has {message.size} bytes, the maximum is {limits.max_event_bytes}", field="data"
            )
        return message

    @cached_property
    def size(self) -> int:
        """Bytes of type and data in UTF-8; those of base64 if the data is bytes."""
        return len(self.type.encode()) + len(self._encoded[0].encode())

    @cached_property
    def sse(self) -> bytes:
        text, encoding = self._encoded
        type = "" if self.type == DEFAULT_TYPE else self.type
        base64 = encoding is BASE64
        return encode_block(id=self.id, type=type, base64=base64, data=text, retry_ms=self.retry_ms)

    @cached_property
    def json(self) -> bytes:
        """One JSON object: an event, or without an id the control message ``message``."""
        text, encoding = self._encoded
        head = {"id": self.id, "topics": []} if self.id else {"control": MessageName.MESSAGE}
        fields = head | {"type": self.type, "data": msgspec.Raw(text.encode()) if encoding is JSON else text}
        if encoding is BASE64:
            fields["encoding"] = BASE64
        return msgspec.json.encode(fields if self.retry_ms is None else fields | {"retry": self.retry_ms})

    @cached_property
    def text(self) -> str:
        return self.json.decode()
