"""Follow events over Server-Sent Events (WHATWG HTML section 9.2)."""

from typing import Any

import httpx

from ..errors import InvalidBody, InvalidField, TooLarge
from ..events.control import RESERVED_TYPES
from ..events.data import check_marker, decode_base64
from ..events.sse import DecodedCursorMove, Decoder, ServerSentEvent
from ..json import decode_message
from ..outbound import StreamedResponse
from .answer import open_answer, read_rejection
from .errors import ProtocolError
from .items import CursorMoved, ReceivedEvent
from .link import EVENT_CHARS_MAX, ControlFrame, Frame, Link, Request, StreamOver


async def follow_sse(request: Request, link: Link) -> None:
    """Make one connection, and take its frames until it ends. Cancelling closes it.

    Raises:
        Unreachable, ServerBusy: a retry may help.
        StreamOver: the stream has ended for good (204).
        RequestFailed, ProtocolError, Untrusted: a retry would fail too.
    """
    endpoint = request.endpoint
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if link.cursor is not None:
        headers["Last-Event-ID"] = link.cursor
    headers |= link.resume_headers
    async with endpoint.http_client() as client:
        get = client.build_request(
            "GET", endpoint.url(request.path), params=httpx.QueryParams(request.query), headers=headers
        )
        seconds = endpoint.timeouts.connect_seconds
        async with open_answer(client, get, seconds=seconds) as answer:
            if answer.status == 204:
                raise StreamOver
            if answer.status != 200:
                raise await read_rejection(answer, seconds)
            if answer.content_type != "text/event-stream":
                content_type = answer.content_type or "no content type"
                raise ProtocolError(f"{answer.url} answered {content_type} instead of an event stream")
            await _read(answer, link)


async def _read(answer: StreamedResponse, link: Link) -> None:
    decoder = Decoder(max_block_chars=EVENT_CHARS_MAX)
    while chunk := await answer.receive_some(link.silence_seconds):
        try:
            decoder.receive_data(chunk)
        except TooLarge as error:
            raise ProtocolError(error.detail) from error
        link.take_retry(decoder.retry_ms)
        while (block := decoder.next_event()) is not None:
            await link.take(read_block(block))


def read_block(block: ServerSentEvent | DecodedCursorMove) -> Frame:
    """Read one block of an event stream.

    Raises:
        ProtocolError: it is not as streamd sends it.
    """
    if isinstance(block, DecodedCursorMove):
        return CursorMoved(block.last_event_id)
    if block.type in RESERVED_TYPES:
        return ControlFrame(block.type, _fields(block.data))
    return ReceivedEvent(block.last_event_id if block.has_id else "", block.type, None, _data(block))


def _data(block: ServerSentEvent) -> str | bytes:
    if not block.encoding:
        return block.data
    try:
        check_marker(block.encoding)
        return decode_base64(block.data)
    except InvalidField as error:
        raise ProtocolError(f"an event cannot be read: {error.detail}") from error


def _fields(data: str) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = decode_message(data, dict[str, Any], noun="the data")
    except InvalidBody as error:
        raise ProtocolError(f"a control frame cannot be read: {error.detail}") from error
    return fields
