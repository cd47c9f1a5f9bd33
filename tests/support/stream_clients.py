"""Clients of one stream over each transport, which see the same messages."""

import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs
import httpx
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection, wrap_client_stream

from streamd.testing import RunningServer, StreamReader, StreamRefused, open_stream
from tests.support.messages import StreamMessage, parse

TRANSPORTS: Final = ("sse", "websocket", "poll")
SECONDS: Final = 30
_WAIT_SECONDS: Final = 20


class Refused(Exception):
    """An answer in place of a stream.

    Attributes:
        status: the HTTP status.
        problem: the members of the problem; empty without one.
    """

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status}: {body[:200]!r}")
        self.status = status
        self.problem: dict[str, Any] = json.loads(body) if body else {}


@attrs.define
class StreamClient(ABC):
    """A client of a stream.

    Attributes:
        cursor: the last event id.
        reason: that of ``closing``, once it has come.
        is_over: the server has ended the stream in an orderly way.
    """

    cursor: str = ""
    reason: str | None = attrs.field(default=None, init=False)
    is_over: bool = attrs.field(default=False, init=False)

    @abstractmethod
    async def next(self) -> StreamMessage | None:
        """Return the next event, or message without an id; None at the end of the stream."""

    async def take(self, count: int) -> list[StreamMessage]:
        """Return the next messages."""
        messages = [await self.next() for _ in range(count)]
        assert None not in messages
        return [message for message in messages if message is not None]

    async def rest(self) -> list[StreamMessage]:
        """Return the messages to the end of the stream."""
        messages = []
        while (message := await self.next()) is not None:
            messages.append(message)
        return messages

    def _take(self, fields: dict[str, Any]) -> StreamMessage | None:
        """Take a JSON message of WebSocket or long polling; return an event, or a message without an id."""
        control = fields.get("control")
        if control == "closing":
            self.reason = fields["reason"]
        if control not in (None, "cursor", "message"):
            return None
        self.cursor = fields.get("id", "") or self.cursor
        if control == "cursor":
            return None
        assert ("id" in fields) == (control is None)
        return StreamMessage(fields.get("id", ""), fields["type"], fields["data"])


@attrs.define
class SseClient(StreamClient):
    reader: StreamReader = attrs.field(kw_only=True)

    async def next(self) -> StreamMessage | None:
        while (block := await self.reader.next_block()) is not None:
            before, self.cursor = self.cursor, self.reader.last_event_id or self.cursor
            name = getattr(block, "type", None)
            if name == "closing":
                self.reason = json.loads(block.data)["reason"]  # type: ignore[union-attr]
            elif name not in (None, "connected", "heartbeat"):
                message = parse(block)  # type: ignore[arg-type]
                # The decoder repeats the last event id of the stream where a block has none.
                return message if message.id != before else attrs.evolve(message, id="")
        self.is_over = self.reader.ended
        return None


@attrs.define
class WebSocketClient(StreamClient):
    socket: WebSocketConnection = attrs.field(kw_only=True)
    connected: dict[str, Any] = attrs.field(factory=dict, init=False)

    async def send(self, **fields: object) -> None:
        await self.socket.send_message(json.dumps(fields))

    async def receive(self) -> dict[str, Any]:
        fields: dict[str, Any] = json.loads(await self.socket.get_message())
        return fields

    async def next(self) -> StreamMessage | None:
        try:
            while True:
                if (message := self._take(await self.receive())) is not None:
                    return message
        except ConnectionClosed as closed:
            self.is_over = closed.reason is not None and closed.reason.code == 1000
            return None


@attrs.define
class PollClient(StreamClient):
    http: httpx.AsyncClient = attrs.field(kw_only=True)
    url: httpx.URL = attrs.field(kw_only=True)
    gaps: list[dict[str, str]] = attrs.field(factory=list, init=False)
    _received: deque[StreamMessage] = attrs.field(factory=deque, init=False)

    async def poll(self, wait_seconds: float) -> dict[str, Any]:
        """Poll once, and return the answer."""
        query = {"wait": f"{wait_seconds:g}"} | ({"after": self.cursor} if self.cursor else {})
        answer = await self.http.get(self.url.copy_merge_params(query))
        if answer.status_code != 200:
            raise Refused(answer.status_code, answer.content)
        fields: dict[str, Any] = answer.json()
        return fields

    async def next(self) -> StreamMessage | None:
        while not self._received:
            if self.reason is not None:
                self.is_over = True
                return None
            self._take_answer(await self.poll(_WAIT_SECONDS))
        return self._received.popleft()

    def _take_answer(self, answer: dict[str, Any]) -> None:
        if answer["gap"] is not None:
            self.gaps.append(answer["gap"])
        for fields in (*answer["events"], *answer.get("control", ())):
            if (message := self._take(fields)) is not None:
                self._received.append(message)
        self.cursor = answer["next"]


@asynccontextmanager
async def open_client(
    server: RunningServer,
    transport: str,
    path: str,
    *,
    cursor: str = "",
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[StreamClient]:
    """Open a stream over one of `TRANSPORTS` while the block lasts.

    Its position in the log, which without a cursor is the present one, is known when the block begins.

    Raises:
        Refused: the server has refused it.
    """
    headers = dict(headers or {})
    url = httpx.URL(server.url).join(path)
    with trio.fail_after(SECONDS):
        if transport == "sse":
            try:
                target = url.raw_path.decode()
                async with open_stream(
                    server.url, path=target, headers=headers, last_event_id=cursor or None
                ) as reader:
                    await reader.next_block()  # connected
                    yield SseClient(cursor, reader=reader)
            except StreamRefused as refusal:
                raise Refused(refusal.status, refusal.body) from refusal
        elif transport == "websocket":
            if cursor:
                url = url.copy_merge_params({"last_event_id": cursor})
            async with _open_socket(server, url, headers) as socket:
                client = WebSocketClient(cursor, socket=socket)
                client.connected = await client.receive()
                assert client.connected["control"] == "connected"
                yield client
        else:
            async with httpx.AsyncClient(timeout=SECONDS, headers=headers) as http:
                polling = PollClient(cursor, http=http, url=url.copy_with(path=f"{url.path}/poll"))
                polling._take_answer(await polling.poll(0))
                yield polling


@asynccontextmanager
async def _open_socket(
    server: RunningServer, url: httpx.URL, headers: dict[str, str]
) -> AsyncIterator[WebSocketConnection]:
    refusal: ConnectionRejected | None = None
    async with await trio.open_tcp_stream(server.host, server.port) as stream:
        try:
            async with trio.open_nursery() as nursery:
                socket = await wrap_client_stream(
                    nursery,
                    stream,
                    f"{server.host}:{server.port}",
                    url.raw_path.decode(),
                    extra_headers=[(name.encode(), value.encode()) for name, value in headers.items()],
                )
                yield socket
                await socket.aclose()
        except* ConnectionRejected as group:
            [refusal] = group.exceptions  # type: ignore[assignment]
    if refusal is not None:
        raise Refused(refusal.status_code, refusal.body or b"")
