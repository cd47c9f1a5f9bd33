"""A second implementation of WHATWG HTML 9.2.5 and 9.2.6, to compare the decoder with.

The model has the whole stream in memory, reads it one character at a time, and keeps the buffers that the
standard names. It is slow and plain on purpose.
"""

import codecs
from collections.abc import Iterable

import attrs

from streamd.errors import TooLarge
from streamd.events.sse import DecodedCursorMove, Decoder, ServerSentEvent


@attrs.frozen
class Reading:
    """The result of decoding a stream."""

    events: list[ServerSentEvent | DecodedCursorMove]
    last_event_id: str
    retry_ms: int | None
    too_large: bool = False


def take_all(decoder: Decoder) -> list[ServerSentEvent | DecodedCursorMove]:
    """Take the complete events."""
    events = []
    while (event := decoder.next_event()) is not None:
        events.append(event)
    return events


def read(chunks: Iterable[bytes], *, max_block_chars: int | None = None) -> Reading:
    """Decode a stream that arrives in these pieces with :class:`Decoder`, up to the first error."""
    decoder = Decoder(max_block_chars=max_block_chars)
    events = []
    too_large = False
    for chunk in chunks:
        try:
            decoder.receive_data(chunk)
        except TooLarge:
            too_large = True
            break
        events += take_all(decoder)
    events += take_all(decoder)
    return Reading(events, decoder.last_event_id, decoder.retry_ms, too_large)


def bytewise(stream: bytes) -> list[bytes]:
    """Split a stream into single bytes."""
    return [bytes([byte]) for byte in stream]


class Model:
    """The standard's algorithm and names of buffers, and streamd's own field ``encoding``."""

    def __init__(self) -> None:
        self.events: list[ServerSentEvent | DecodedCursorMove] = []
        self.data_buffer = ""
        self.event_type_buffer = ""
        self.encoding_buffer = ""
        self.last_event_id_buffer = ""
        self.last_event_id = ""
        self.retry_ms: int | None = None

    def line(self, line: str) -> None:
        if line == "":
            self.dispatch()
        elif line[0] == ":":
            pass
        elif ":" in line:
            colon = line.index(":")
            value = line[colon + 1 :]
            self.field(line[:colon], value[1:] if value[:1] == " " else value)
        else:
            self.field(line, "")

    def field(self, name: str, value: str) -> None:
        if name == "event":
            self.event_type_buffer = value
        elif name == "encoding":
            self.encoding_buffer = value
        elif name == "data":
            self.data_buffer += value + "\n"
        elif name == "id" and "\0" not in value:
            self.last_event_id_buffer = value
        elif name == "retry" and value and all(char in "0123456789" for char in value):
            self.retry_ms = int(value)

    def dispatch(self) -> None:
        moved = self.last_event_id != self.last_event_id_buffer
        self.last_event_id = self.last_event_id_buffer
        if self.data_buffer:
            event_type = self.event_type_buffer or "message"
            data, encoding = self.data_buffer[:-1], self.encoding_buffer
            self.events.append(ServerSentEvent(event_type, data, self.last_event_id, encoding=encoding))
        elif moved:
            self.events.append(DecodedCursorMove(self.last_event_id))
        self.data_buffer = self.event_type_buffer = self.encoding_buffer = ""


def reference(stream: bytes, *, max_block_chars: int | None = None) -> Reading:
    """Decode the whole stream by the standard's algorithm, up to the first block that is too long."""
    text = codecs.getincrementaldecoder("utf-8")(errors="replace").decode(stream)
    if text[:1] == "\ufeff":
        text = text[1:]
    model = Model()
    line = ""
    held = 0  # characters of the block's complete lines, without comments
    for index, char in enumerate(text):
        if char == "\n" and index and text[index - 1] == "\r":
            continue  # the second half of a CRLF
        if char not in "\r\n":
            line += char
            if max_block_chars is not None and held + len(line) > max_block_chars:
                return Reading(model.events, model.last_event_id, model.retry_ms, too_large=True)
            continue
        model.line(line)
        held = 0 if line == "" else held if line[0] == ":" else held + len(line)
        line = ""
    return Reading(model.events, model.last_event_id, model.retry_ms)
