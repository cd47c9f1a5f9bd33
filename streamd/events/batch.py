"""Frames that leave together: their bytes on each wire are made once and shared by all who send them."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final

import attrs

from .control import CursorMove
from .event import Event, Frame
from .ids import EventId, split_event_id

_FINAL_TEXT: Final = 0x81  # RFC 6455 section 5.2: FIN, and the opcode of a text frame
_LENGTH_16: Final = 126
_LENGTH_64: Final = 127


@attrs.frozen(eq=False)
class Batch:
    """Some frames in their order, encoded at most once for each wire.

    The same batch may go to any number of clients; a batch of one is how a single event is shared.
    """

    frames: Sequence[Frame]

    @cached_property
    def sse(self) -> bytes:
        """Event stream blocks, one after the other (WHATWG HTML section 9.2)."""
        return b"".join([frame.sse for frame in self.frames])

    @cached_property
    def chunk(self) -> bytes:
        """The same as one chunk of HTTP/1.1's chunked transfer coding (RFC 9112 section 7.1)."""
        return b"%x\r\n%b\r\n" % (len(self.sse), self.sse)

    @cached_property
    def websocket(self) -> bytes:
        """Unmasked text frames of a WebSocket, one JSON object each (RFC 6455 section 5.2)."""
        return b"".join([encode_text_frame(frame.json) for frame in self.frames])

    @cached_property
    def events(self) -> Sequence[Event]:
        """The published events among the frames."""
        return [frame for frame in self.frames if isinstance(frame, Event)]

    @cached_property
    def count(self) -> int:
        """How many published events there are."""
        return len(self.events)

    @cached_property
    def first_id(self) -> EventId:
        """The id of the first event; there must be one."""
        return self.events[0].id

    @cached_property
    def last_id(self) -> EventId:
        """The id of the last event; there must be one."""
        return self.events[-1].id

    @cached_property
    def types(self) -> Counter[str]:
        """How many events there are of each type."""
        return Counter([event.type for event in self.events])

    @cached_property
    def published_seconds(self) -> float:
        """When the newest event was published (s since 1970, to the millisecond); 0 without one."""
        return split_event_id(self.events[-1].id)[0] / 1000 if self.events else 0.0

    @cached_property
    def cursor(self) -> EventId | None:
        """The last event id that a client has when it has read all this; None when no frame has one."""
        for frame in reversed(self.frames):
            if isinstance(frame, Event | CursorMove):
                return frame.id
        return None


Encoding = Callable[[Batch], bytes]
"""Which of a batch's encodings a wire sends."""


def encode_text_frame(payload: bytes) -> bytes:
    """One unmasked, final text frame (RFC 6455 section 5.2), as servers send it."""
    size = len(payload)
    if size < _LENGTH_16:
        return b"%c%c%b" % (_FINAL_TEXT, size, payload)
    if size < 1 << 16:
        return b"%c%c%b%b" % (_FINAL_TEXT, _LENGTH_16, size.to_bytes(2, "big"), payload)
    return b"%c%c%b%b" % (_FINAL_TEXT, _LENGTH_64, size.to_bytes(8, "big"), payload)
