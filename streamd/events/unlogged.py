"""Unlogged events: events of a stream that is made for one client, and that no log keeps."""

from functools import cached_property
from typing import Any

import attrs
import msgspec

from .event import DEFAULT_TYPE, encode_data
from .sse import encode_block


@attrs.frozen(eq=False)
class UnloggedEvent:
    """An event that a program sends to one client only.

    Args:
        data: text, sent as it is, or any JSON value.
        type: the SSE event type.
        id: the program's own id, which becomes the client's last event id; empty for none.
        retry_ms: reconnection time (ms).
    """

    data: Any
    type: str = DEFAULT_TYPE
    id: str = ""
    retry_ms: int | None = None

    @cached_property
    def sse(self) -> bytes:
        type = "" if self.type == DEFAULT_TYPE else self.type
        return encode_block(id=self.id, type=type, data=encode_data(self.data)[0], retry_ms=self.retry_ms)

    @cached_property
    def json(self) -> bytes:
        fields = {"id": self.id, "type": self.type, "topics": [], "data": self.data}
        return msgspec.json.encode(fields if self.retry_ms is None else fields | {"retry": self.retry_ms})

    @cached_property
    def text(self) -> str:
        return self.json.decode()
