"""A reader of event streams over a bare connection, which sees all that a client receives, block by block."""

import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlencode, urlsplit

import h11
import msgspec
import trio

from ..events import ControlName
from ..events.sse import DecodedCursorMove, Decoder, ServerSentEvent

Block = ServerSentEvent | DecodedCursorMove
_CONTROL = frozenset(str(name) for name in ControlName)
_RECEIVE_BYTES = 65_536


class StreamRefused(Exception):
    """An answer whose status is not 200.

    Attributes:
        status: the HTTP status.
        headers: of the answer, names in lower case.
        body: of the answer.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"{status}: {body[:200]!r}")
        self.status = status
        self.headers = headers
        self.body = body


class StreamReader:
    """An open event stream.

    Attributes:
        headers: of the answer, names in lower case.
        stream: the connection.
        ended: the answer's body has come to its end.
        last_event_id: the id that a client would resume with after the last block that was returned.
        retry_ms: the reconnection time that the stream has set, if any.
    """

    def __init__(self, stream: trio.abc.Stream, http: h11.Connection, headers: Mapping[str, str]) -> None:
        self.headers = headers
        self.stream = stream
        self.ended = False
        self._http = http
        self._decoder = Decoder()
        self.last_event_id = ""

    @property
    def retry_ms(self) -> int | None:
        return self._decoder.retry_ms

    async def next_block(self) -> Block | None:
        """Return the next event or cursor move, control frames included; None when the stream has ended.

        Raises:
            h11.RemoteProtocolError: the connection was cut off. It is caused by a
                :exc:`trio.BrokenResourceError` if the connection was reset.
        """
        while (block := self._decoder.next_event()) is None:
            event = await _next_event(self.stream, self._http)
            if not isinstance(event, h11.Data):
                self.ended = True
                return None
            self._decoder.receive_data(bytes(event.data))
        self.last_event_id = block.last_event_id
        return block

    async def next_event(self) -> ServerSentEvent | None:
        """Return the next published event, past control frames; None when the stream has ended."""
        while (block := await self.next_block()) is not None:
            if isinstance(block, ServerSentEvent) and block.type not in _CONTROL:
                return block
        return None

    async def next_control(self, name: str) -> dict[str, object]:
        """Read up to the next control frame of that name, and return its data.

        Raises:
            EOFError: the stream ended before.
        """
        while (block := await self.next_block()) is not None:
            if isinstance(block, ServerSentEvent) and block.type == name:
                return msgspec.json.decode(block.data, type=dict[str, object])
        raise EOFError(f"the stream ended without {name!r}")

    async def take(self, count: int) -> list[ServerSentEvent]:
        """Return the next ``count`` published events.

        Raises:
            EOFError: the stream ended before.
        """
        events: list[ServerSentEvent] = []
        for _ in range(count):
            event = await self.next_event()
            if event is None:
                raise EOFError(f"the stream ended after {len(events)} of {count} events")
            events.append(event)
        return events


@asynccontextmanager
async def open_stream(
    url: str,
    *,
    topics: Iterable[str] = (),
    patterns: Iterable[str] = (),
    last_event_id: str | None = None,
    path: str = "/events",
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    stream: trio.abc.Stream | None = None,
    **query: str,
) -> AsyncIterator[StreamReader]:
    """Subscribe over HTTP/1.1 while the block lasts. Its end closes the connection at once.

    Args:
        url: of the server, such as ``http://127.0.0.1:8080``.
        topics: exact topics.
        patterns: patterns.
        last_event_id: sent as the ``Last-Event-ID`` header.
        path: of the stream; another one for your own views.
        headers: further request headers.
        tls: for a server with TLS, the context that trusts it.
        stream: an open connection to the server, used in place of a new one.
        query: further parameters, such as ``overflow="latest"``.

    Raises:
        StreamRefused: the answer was not 200.
    """
    parts = urlsplit(url)
    pairs = [*(("topic", t) for t in topics), *(("pattern", p) for p in patterns), *query.items()]
    target = f"{path}?{urlencode(pairs)}" if pairs else path
    sent = {"Host": parts.netloc, "Accept": "text/event-stream", **(headers or {})}
    if last_event_id is not None:
        sent["Last-Event-ID"] = last_event_id
    if stream is None:
        stream = await _connect(parts.hostname or "", parts.port, tls)
    try:
        http = h11.Connection(h11.CLIENT)
        request = http.send(h11.Request(method="GET", target=target, headers=list(sent.items())))
        await stream.send_all((request or b"") + (http.send(h11.EndOfMessage()) or b""))
        answer = await _next_event(stream, http)
        assert isinstance(answer, h11.Response)
        received = {name.decode(): value.decode() for name, value in answer.headers}
        if answer.status_code != 200:
            raise StreamRefused(answer.status_code, received, await _read_body(stream, http))
        yield StreamReader(stream, http, received)
    finally:
        await trio.aclose_forcefully(stream)


async def _connect(host: str, port: int | None, tls: ssl.SSLContext | None) -> trio.abc.Stream:
    if tls is None:
        return await trio.open_tcp_stream(host, port or 80)
    return await trio.open_ssl_over_tcp_stream(host, port or 443, ssl_context=tls, https_compatible=True)


async def _next_event(stream: trio.abc.Stream, http: h11.Connection) -> object:
    while (event := http.next_event()) is h11.NEED_DATA:
        try:
            data = await stream.receive_some(_RECEIVE_BYTES)
        except trio.BrokenResourceError as reset:
            http.receive_data(b"")
            try:
                return http.next_event()
            except h11.RemoteProtocolError as cut_off:
                raise cut_off from reset
        http.receive_data(bytes(data))
    return event


async def _read_body(stream: trio.abc.Stream, http: h11.Connection) -> bytes:
    body = bytearray()
    while isinstance(event := await _next_event(stream, http), h11.Data):
        body += event.data
    return bytes(body)
