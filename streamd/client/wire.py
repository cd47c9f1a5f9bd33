"""The JSON of WebSocket frames and poll answers, see :mod:`streamd.events.messages`.

JSON data is left as text, so that numbers keep their digits and an event looks the same over every transport.
Base64 is decoded.
"""

from typing import Any

import msgspec

from ..errors import InvalidBody, InvalidField
from ..events.control import MessageName
from ..events.data import BASE64, decode_base64, read_data
from ..events.event import DEFAULT_TYPE
from ..json import decode_message
from .errors import ProtocolError
from .items import CursorMoved, ReceivedEvent
from .link import ControlFrame, Frame


class EventMessage(msgspec.Struct, frozen=True):
    """An event, or a control message if ``control`` is set."""

    id: str | None = None
    type: str = DEFAULT_TYPE
    topics: tuple[str, ...] = ()
    data: msgspec.Raw = msgspec.Raw(b'""')
    encoding: str | None = None
    retry: int | None = None
    control: str | None = None

    def frame(self) -> ReceivedEvent:
        """Return the event, with its data as text or bytes.

        Raises:
            ProtocolError: the data has an unknown encoding, or is not in its encoding.
        """
        try:
            text, encoding = read_data(bytes(self.data), marker=self.encoding)
        except InvalidField as error:
            raise ProtocolError(f"an event cannot be read: {error.detail}") from error
        data = decode_base64(text) if encoding is BASE64 else text
        return ReceivedEvent(self.id or "", self.type, self.topics, data)


class PollAnswer(msgspec.Struct, frozen=True):
    """The answer to one poll."""

    events: list[EventMessage]
    next: str
    gap: dict[str, Any] | None = None
    control: list[msgspec.Raw] = []
    resume_secret: str | None = None


def read_frame(text: str | bytes) -> tuple[Frame, int | None]:
    """Read one WebSocket frame, and its reconnection time (ms) if it has one.

    Raises:
        ProtocolError: the text does not follow the grammar of :mod:`streamd.events.messages`.
    """
    try:
        head: EventMessage = decode_message(text, EventMessage)
        if head.control in (None, MessageName.MESSAGE):
            return head.frame(), head.retry
        if head.control == MessageName.CURSOR:
            return CursorMoved(head.id or ""), head.retry
        return ControlFrame(head.control, decode_message(text, dict[str, Any])), head.retry
    except InvalidBody as error:
        raise ProtocolError(f"not a message of streamd: {error.detail}") from error


def read_poll_answer(body: bytes) -> PollAnswer:
    """Read the answer to a poll.

    Raises:
        ProtocolError: the body is no such answer.
    """
    try:
        answer: PollAnswer = decode_message(body, PollAnswer, noun="the answer")
    except InvalidBody as error:
        raise ProtocolError(f"not the answer to a poll: {error.detail}") from error
    return answer
