"""The stream of a chat completion, as OpenAI-compatible APIs send it, read without I/O.

Server-Sent Events whose data is one JSON object each, ``choices[0].delta.content`` being the next piece of
text, and ``[DONE]`` at the end (OpenAI API reference, "Create chat completion", streaming). Servers differ
in details: some send ``finish_reason`` and leave out ``[DONE]``, some put an ``error`` object into the
stream, some send comments to say that they are still there.
"""

from typing import Any, Final

import msgspec

from ..errors import TooLarge
from ..events.sse import Decoder, ServerSentEvent

_DONE: Final = "[DONE]"
_QUOTED_CHARS: Final = 500  # of what the server sent, for the log
# A character of text takes at most six in JSON (\u001f); the rest is for the chunk's other fields.
_JSON_CHARS_PER_BYTE: Final = 6
_JSON_CHARS_AROUND: Final = 65_536

BROKE_OFF: Final = "the text service broke off before the text was complete"
_CUT_SHORT: Final = {
    "length": "the model reached its length limit before the text was complete",
    "content_filter": "the text service withheld the text because of its content rules",
}


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    error: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class Broken(Exception):
    """The stream does not hold the text that it should.

    Attributes:
        sentence: for clients.
        detail: for the log; may quote the server.
        again: as long as no text has come, another try may succeed.
    """

    def __init__(self, sentence: str, detail: str = "", *, again: bool = False) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.detail = detail[:_QUOTED_CHARS]
        self.again = again


class Completion:
    """Reads one completion from any split of its bytes: feed it, then take what is complete.

    Args:
        max_text_bytes: the longest text (bytes of UTF-8); a longer one is an error.

    Attributes:
        ended: the server said that the text is complete; nothing further is read.
    """

    def __init__(self, *, max_text_bytes: int) -> None:
        self.ended = False
        self._max_text_bytes = max_text_bytes
        self._decoder = Decoder(max_block_chars=_JSON_CHARS_PER_BYTE * max_text_bytes + _JSON_CHARS_AROUND)
        self._text: list[str] = []  # complete, and not taken yet
        self._text_bytes = 0
        self._has_words = False
        self._broken: Broken | None = None  # reported when the text before it has been taken

    def receive_data(self, data: bytes) -> None:
        """Take in the next bytes of the body. Never raises: :meth:`next_text` does."""
        if self.ended or self._broken:
            return
        try:
            try:
                self._decoder.receive_data(data)
            finally:  # what was complete before an oversize event counts
                self._take_events()
        except TooLarge as error:
            self._broken = Broken("the text service sent more than is taken", error.detail)
        except Broken as broken:
            self._broken = broken

    def receive_end(self) -> None:
        """The body has ended."""
        if not self.ended and self._broken is None:
            self._broken = Broken(BROKE_OFF, "the body ended without an end of the text", again=True)

    def next_text(self) -> str | None:
        """What has come since the last time, in one piece; None when more data is needed or all is taken.

        Raises:
            Broken: the text does not go on.
        """
        if self._text:
            text = "".join(self._text)
            self._text.clear()
            return text
        if self._broken is not None:
            raise self._broken
        return None

    def _take_events(self) -> None:
        while not self.ended and (event := self._decoder.next_event()) is not None:
            if isinstance(event, ServerSentEvent):
                self._take_data(event.data)

    def _take_data(self, data: str) -> None:
        if data.strip() == _DONE:
            self._end()
            return
        try:
            chunk = _decode_chunk(data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise Broken("the text service sent what cannot be read", f"{error}: {data}") from None
        if chunk.error is not None:
            raise Broken("the text service gave up on the text", str(chunk.error))
        if not chunk.choices:
            return  # figures on usage, for instance
        choice = chunk.choices[0]
        if choice.delta is not None and choice.delta.content:
            self._take_text(choice.delta.content)
        if choice.finish_reason in _CUT_SHORT:
            raise Broken(_CUT_SHORT[choice.finish_reason], choice.finish_reason)
        if choice.finish_reason:
            self._end()

    def _take_text(self, text: str) -> None:
        self._text_bytes += len(text.encode())
        if self._text_bytes > self._max_text_bytes:
            raise Broken(f"the text is longer than {self._max_text_bytes} bytes")
        self._has_words = self._has_words or not text.isspace()
        self._text.append(text)

    def _end(self) -> None:
        if not self._has_words:
            raise Broken("the text service sent no text")
        self.ended = True
