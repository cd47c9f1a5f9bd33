"""Follow events by long polling, for networks whose buffering proxies break streams."""

from typing import Final

import httpx
import trio

from ..events.control import ControlName
from .answer import open_answer, read_rejection
from .items import CursorMoved
from .link import EVENT_CHARS_MAX, ControlFrame, Link, Request, StreamOver
from .wire import PollAnswer, read_frame, read_poll_answer

WAIT_SECONDS: Final = 25.0  # many proxies time out after 30 s
PAUSE_SECONDS: Final = 0.5  # after an early answer without events, to avoid a busy loop
ANSWER_BYTES_MAX: Final = 4 * EVENT_CHARS_MAX


async def follow_poll(request: Request, link: Link) -> None:
    """Poll repeatedly, and take the frames of each answer. Cancelling gives up the open request.

    Raises:
        Unreachable, ServerBusy: a retry may help.
        StreamOver: the stream has ended for good (204).
        RequestFailed, ProtocolError, Untrusted: a retry would fail too.
    """
    async with request.endpoint.http_client() as client:
        # The first poll does not wait: its answer has the head, and nothing after it may be missed.
        wait = 0.0
        while True:
            started = trio.current_time()
            answer = await _ask(client, request, link, wait)
            if wait == 0.0:
                # With events in the answer, `next` is behind them and not the head at the start.
                head = {} if answer.events else {"head": answer.next}
                await link.take(ControlFrame(ControlName.CONNECTED, head))
            before = link.cursor
            if await _take(answer, link):
                return
            if link.cursor == before and trio.current_time() - started < min(wait, PAUSE_SECONDS):
                await trio.sleep(PAUSE_SECONDS)
            wait = WAIT_SECONDS


async def _ask(client: httpx.AsyncClient, request: Request, link: Link, wait: float) -> PollAnswer:
    query: list[tuple[str, str | int | float | bool | None]] = [*request.query, ("wait", f"{wait:g}")]
    if link.cursor is not None:
        query.append(("after", link.cursor))
    get = client.build_request(
        "GET",
        request.endpoint.url("events/poll"),
        params=httpx.QueryParams(query),
        headers=link.resume_headers,
    )
    seconds = request.endpoint.timeouts.connect_seconds
    async with open_answer(client, get, seconds=wait + seconds) as answer:
        if answer.status == 204:
            raise StreamOver
        if answer.status != 200:
            raise await read_rejection(answer, seconds)
        body = await answer.read(max_bytes=ANSWER_BYTES_MAX, timeout_seconds=seconds)
    return read_poll_answer(body)


async def _take(answer: PollAnswer, link: Link) -> bool:
    """Take the frames of an answer; return True if the server has closed the connection by ``closing``."""
    link.resume_secret = answer.resume_secret or link.resume_secret
    if answer.gap is not None:
        await link.take(ControlFrame(ControlName.GAP, answer.gap))
    for message in answer.events:
        link.take_retry(message.retry)
        await link.take(message.frame())
    # `next` may be ahead of the last event. At or behind it, the link drops it.
    await link.take(CursorMoved(answer.next))
    closing = False
    for text in answer.control:
        frame, retry_ms = read_frame(bytes(text))
        link.take_retry(retry_ms)
        await link.take(frame)
        closing |= isinstance(frame, ControlFrame) and frame.name == ControlName.CLOSING
    return closing
