"""Batches: frames that leave together, encoded once for each transport and shared by all receivers."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final, Protocol

import attrs

from .control import CursorMove
from .event import Event, Frame
from .ids import EventId, split_event_id

_FINAL_TEXT: Final = 0x81  # RFC 6455 section 5.2: FIN, and the opcode of a text frame
_LENGTH_16: Final = 126
_LENGTH_64: Final = 127


class Rights(Protocol):
    """The rights of subscribers to read events. Subscribers with equal rights share one object."""

    def may_read(self, event: Event) -> bool:
        """Return True for an event that they may read."""


@attrs.frozen(eq=False)
class Batch:
    """Frames in their order, encoded at most once for each transport.

    The same batch may go to any number of clients. A single event is sent as a batch of one.
    """

    frames: Sequence[Frame]

    @cached_property
    def sse(self) -> bytes:
        """The blocks of an event stream, one after the other (WHATWG HTML section 9.2)."""
        return b"".join([frame.sse for frame in self.frames])

    @cached_property
    def chunk(self) -> bytes:
        """The same blocks as one chunk of HTTP/1.1's chunked transfer coding (RFC 9112 section 7.1)."""
        return b"%x\r\n%b\r\n" % (len(self.sse), self.sse)

    @cached_property
    def with_topics(self) -> "Batch":
        """The same frames, whose event stream blocks have the topics of the events."""
        return Batch([_EventWithTopics(f) if isinstance(f, Event) else f for f in self.frames])

    @cached_property
    def websocket(self) -> bytes:
        """Unmasked WebSocket text frames, one JSON object each (RFC 6455 section 5.2)."""
        return b"".join([encode_text_frame(frame.json) for frame in self.frames])

    @cached_property
    def _shares(self) -> "dict[Rights, Batch | None]":
        return {}

    def share_of(self, rights: Rights) -> "Batch | None":
        """Return the events that subscribers with some rights may read; None if they may read all of them.

        It is decided once for all of these subscribers, and has no events if they may read none.
        """
        try:
            return self._shares[rights]
        except KeyError:
            events = [event for event in self.events if rights.may_read(event)]
            share = self._shares[rights] = Batch(events) if len(events) < self.count else None
            return share

    @cached_property
    def events(self) -> Sequence[Event]:
        """The published events among the frames."""
        return [frame for frame in self.frames if isinstance(frame, Event)]

    @cached_property
    def count(self) -> int:
        """The number of published events."""
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
        """The number of published events of each type."""
        return Counter([event.type for event in self.events])

    @cached_property
    def type(self) -> str | None:
        """The type of all published events; None if they have several, or there is none."""
        return next(iter(self.types)) if len(self.types) == 1 else None

    @cached_property
    def published_seconds(self) -> float:
        """Time of publishing of the newest event (s since 1970, to the millisecond); 0 without one."""
        return split_event_id(self.events[-1].id)[0] / 1000 if self.events else 0.0

    @cached_property
    def cursor(self) -> EventId | None:
        """The last event id of a client that has read the batch; None when no frame has one."""
        for frame in reversed(self.frames):
            if isinstance(frame, Event | CursorMove):
                return frame.id
        return None


@attrs.frozen(eq=False)
class _EventWithTopics:
    """An event for a client that asked for the topics, which an event stream does not carry otherwise."""

    event: Event

    @property
    def sse(self) -> bytes:
        return self.event.sse_with_topics

    @property
    def json(self) -> bytes:
        return self.event.json

    @property
    def text(self) -> str:
        return self.event.text


Encoding = Callable[[Batch], bytes]
"""Selects the encoding of a batch that a wire sends."""


def encode_text_frame(payload: bytes) -> bytes:
    """Encode one unmasked, final text frame, as servers send them (RFC 6455 section 5.2)."""
    size = len(payload)
    if size < _LENGTH_16:
        return b"%c%c%b" % (_FINAL_TEXT, size, payload)
    if size < 1 << 16:
        return b"%c%c%b%b" % (_FINAL_TEXT, _LENGTH_16, size.to_bytes(2, "big"), payload)
    return b"%c%c%b%b" % (_FINAL_TEXT, _LENGTH_64, size.to_bytes(8, "big"), payload)
