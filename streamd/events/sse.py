"""Server-Sent Events: the encoder, and an incremental decoder (WHATWG HTML section 9.2).

No I/O. The decoder works like h11: pass it bytes with :meth:`Decoder.receive_data`, then take the complete
events with :meth:`Decoder.next_event` until it returns None.
"""

import codecs
import re
from collections import deque
from collections.abc import Sequence
from typing import Final

import attrs

from ..errors import TooLarge

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_FORGING: Final = re.compile("[\r\n\0]")
_BOM: Final = "\ufeff"
_RETRY_DIGITS_MAX: Final = 15  # 31,000 years in milliseconds; int() rejects very long numbers


def encode_block(
    *,
    id: str = "",
    type: str = "",
    topics: Sequence[str] = (),
    base64: bool = False,
    data: str | None = None,
    retry_ms: int | None = None,
) -> bytes:
    """Encode one block of an event stream, with its blank line.

    The id is the last field: some clients (``@microsoft/fetch-event-source``) take it when they read it, and
    would lose an event that a broken connection cuts off between its id and its data.

    Args:
        id: becomes the client's last event id; omitted when empty.
        type: the event type; omitted when empty (the client then dispatches ``message``).
        topics: each becomes a ``topic`` field, which is streamd's own, and which clients ignore unless they
            know it (section 9.2.6).
        base64: mark the data as base64 of bytes by a field ``encoding``, which is streamd's own, too.
        data: omitted when None, and the block then dispatches no event. Each line end in it (CR, LF or
            CRLF) starts a new ``data:`` line, which the client reads as LF.
        retry_ms: reconnection time (ms).

    Raises:
        ValueError: ``id``, ``type`` or a topic holds a line break or NUL, which would forge other fields.
    """
    for name, value in (("id", id), ("type", type), *(("topic", topic) for topic in topics)):
        if value and _FORGING.search(value):
            raise ValueError(f"{name} must not contain a line break or NUL")
    lines = []
    if type:
        lines.append(f"event: {type}\n")
    lines.extend([f"topic: {topic}\n" for topic in topics])
    if base64:
        lines.append("encoding: base64\n")
    if retry_ms is not None:
        lines.append(f"retry: {retry_ms}\n")
    if data is not None:
        lines.append(f"data: {_with_prefix('data: ', data)}\n")
    if id:
        lines.append(f"id: {id}\n")
    lines.append("\n")
    return "".join(lines).encode()


def encode_comment(text: str = "") -> bytes:
    """Encode a comment block, which clients ignore; each line end in ``text`` starts a new comment line."""
    return f": {_with_prefix(': ', text)}\n\n".encode()


def _with_prefix(prefix: str, text: str) -> str:
    """Put a prefix before each further line of a text. It takes no step of Python a line."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\n", "\n" + prefix) if "\n" in text else text


@attrs.frozen
class ServerSentEvent:
    """One event, as a client dispatches it."""

    type: str
    data: str
    last_event_id: str  # of this block, or of the last block before it that had one
    # Browsers do not tell the two apart, so it is no part of a comparison.
    has_id: bool = attrs.field(default=True, eq=False, repr=False)
    encoding: str = (
        ""  # of the data, in a field of streamd's own: ``base64`` for bytes, empty for text and JSON
    )


@attrs.frozen
class DecodedCursorMove:
    """A change of the last event id by a block without data, for which browsers dispatch no event."""

    last_event_id: str


class Decoder:
    """Decodes an event stream, split into pieces anywhere (WHATWG HTML sections 9.2.5 and 9.2.6).

    Malformed UTF-8 becomes U+FFFD, one leading BOM is dropped, unknown fields and comments are
    ignored, and a block that the end of the stream cuts off is never dispatched.

    Args:
        max_block_chars: maximum number of characters of one unfinished block; None for no limit. A
            comment counts only until its line ends, so a block may contain any number of comments.

    Attributes:
        last_event_id: of the last complete block; to be sent as ``Last-Event-ID``.
        retry_ms: the reconnection time that the server asked for (ms); None if it did not.
    """

    def __init__(self, *, max_block_chars: int | None = None) -> None:
        self.last_event_id = ""
        self.retry_ms: int | None = None
        self._max_block_chars = max_block_chars
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._at_start = True  # a BOM may still come
        self._after_cr = False  # an LF now belongs to the CR before it
        self._line: list[str] = []  # pieces of the unfinished line
        self._data: list[str] = []
        self._type = ""
        self._encoding = ""
        self._id: str | None = None  # of the unfinished block
        self._block_chars = 0
        self._ready: deque[ServerSentEvent | DecodedCursorMove] = deque()

    def receive_data(self, data: bytes) -> None:
        """Decode the next bytes of the stream.

        Raises:
            TooLarge: a block exceeds ``max_block_chars``. Events that were complete before it can still
                be taken; the stream cannot be decoded further. Nothing else is ever raised.
        """
        text = self._utf8.decode(data)
        if not text:
            return
        if self._at_start:
            self._at_start = False
            text = text.removeprefix(_BOM)
        if self._after_cr and text:
            self._after_cr = False
            text = text.removeprefix("\n")
        if text.endswith("\r"):
            self._after_cr = True
        *lines, rest = _LINE_END.split(text)
        for line in lines:
            self._count(len(line))
            self._line.append(line)
            complete = "".join(self._line)
            self._line.clear()
            self._take_line(complete)
        if rest:
            self._count(len(rest))
            self._line.append(rest)

    def next_event(self) -> ServerSentEvent | DecodedCursorMove | None:
        """Return the next complete event or cursor move; None when more data is needed."""
        return self._ready.popleft() if self._ready else None

    def _count(self, chars: int) -> None:
        self._block_chars += chars
        if self._max_block_chars is not None and self._block_chars > self._max_block_chars:
            raise TooLarge(f"an event of the stream is longer than {self._max_block_chars} characters")

    def _take_line(self, line: str) -> None:
        if not line:
            self._end_block()
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._type = value
        elif field == "id":
            if "\0" not in value:
                self._id = value
        elif field == "encoding":
            self._encoding = value
        elif not field:  # a comment: nothing of it is kept
            self._block_chars -= len(line)
        elif field == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value.lstrip("0")[:_RETRY_DIGITS_MAX] or "0")

    def _end_block(self) -> None:
        moved = self._id is not None and self._id != self.last_event_id
        if self._id is not None:
            self.last_event_id = self._id
        if self._data:
            data = "\n".join(self._data)
            type = self._type or "message"
            has_id = self._id is not None
            self._ready.append(ServerSentEvent(type, data, self.last_event_id, has_id, self._encoding))
        elif moved:
            self._ready.append(DecodedCursorMove(self.last_event_id))
        self._data.clear()
        self._type, self._encoding, self._id, self._block_chars = "", "", None, 0
