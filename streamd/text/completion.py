"""The codec of a chat completion's stream, as OpenAI-compatible APIs send it. No I/O.

Server-Sent Events whose data is one JSON object each; ``choices[0].delta.content`` is the next piece of text,
and ``[DONE]`` is the end (OpenAI API reference, "Create chat completion", streaming). Servers differ in
details: some send ``finish_reason`` and no ``[DONE]``, some put an ``error`` object into the stream, some
send comments as keep-alive.
"""

from typing import Any, Final

import msgspec

from ..errors import InvalidBody, TooLarge
from ..events.sse import Decoder, ServerSentEvent
from ..json import decode_json

_DONE: Final = "[DONE]"
_QUOTED_CHARS: Final = 500  # the maximum length of a quote in the log
# A character of text has at most six in JSON (\u001f). The rest is for the other fields of a chunk.
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


class BrokenCompletion(Exception):
    """The stream does not contain the complete text.

    Attributes:
        sentence: the reason, for clients.
        detail: for the log; may quote the server.
        again: a retry may succeed, as long as no text has arrived.
    """

    def __init__(self, sentence: str, detail: str = "", *, again: bool = False) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.detail = detail[:_QUOTED_CHARS]
        self.again = again


class Completion:
    """Decodes one completion from any split of its bytes: feed it, then take the complete text.

    Args:
        max_text_bytes: the maximum length of the text (bytes of UTF-8).

    Attributes:
        ended: the server has said that the text is complete. Further data is ignored.
    """

    def __init__(self, *, max_text_bytes: int) -> None:
        self.ended = False
        self._max_text_bytes = max_text_bytes
        self._decoder = Decoder(max_block_chars=_JSON_CHARS_PER_BYTE * max_text_bytes + _JSON_CHARS_AROUND)
        self._text: list[str] = []  # decoded, and not yet taken
        self._text_bytes = 0
        self._has_words = False
        self._broken: BrokenCompletion | None = None  # raised after the text before it has been taken

    def receive_data(self, data: bytes) -> None:
        """Take the next bytes of the body. Errors are raised by :meth:`next_text`."""
        if self.ended or self._broken:
            return
        try:
            try:
                self._decoder.receive_data(data)
            finally:  # keep the events before an oversize one
                self._take_events()
        except TooLarge as error:
            self._broken = BrokenCompletion("the text service sent more than is taken", error.detail)
        except BrokenCompletion as broken:
            self._broken = broken

    def receive_end(self) -> None:
        """Take the end of the body."""
        if not self.ended and self._broken is None:
            self._broken = BrokenCompletion(
                BROKE_OFF, "the body ended without an end of the text", again=True
            )

    def next_text(self) -> str | None:
        """Return the text since the last call, in one piece; None if more data is needed.

        Raises:
            BrokenCompletion: the rest of the text is missing.
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
            chunk: _Chunk = decode_json(data, _Chunk, noun="the chunk")
        except InvalidBody as error:
            raise BrokenCompletion("the text service sent what cannot be read", f"{error}: {data}") from None
        if chunk.error is not None:
            raise BrokenCompletion("the text service gave up on the text", str(chunk.error))
        if not chunk.choices:
            return  # usage figures, for instance
        choice = chunk.choices[0]
        if choice.delta is not None and choice.delta.content:
            self._take_text(choice.delta.content)
        if choice.finish_reason in _CUT_SHORT:
            raise BrokenCompletion(_CUT_SHORT[choice.finish_reason], choice.finish_reason)
        if choice.finish_reason:
            self._end()

    def _take_text(self, text: str) -> None:
        self._text_bytes += len(text.encode())
        if self._text_bytes > self._max_text_bytes:
            raise BrokenCompletion(f"the text is longer than {self._max_text_bytes} bytes")
        self._has_words = self._has_words or not text.isspace()
        self._text.append(text)

    def _end(self) -> None:
        if not self._has_words:
            raise BrokenCompletion("the text service sent no text")
        self.ended = True
