"""A server that behaves, and misbehaves when told to: one order of events, resume, three transports.

It speaks the contract over real sockets and shares the codecs of `streamd.events` with the real one.
What the next requests meet is put into `script`; everything else is answered as it should be.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import h11
import msgspec
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, TextMessage
from wsproto.events import Request as Upgrade

from streamd.errors import StreamdError
from streamd.events import EARLIEST, Control, CursorMove, Draft, Event, EventId, IdSequence, Selectors
from streamd.events.bodies import decode_draft
from streamd.events.control import gap
from streamd.events.settings import EventSettings

LIMITS = EventSettings()
START_MS = 1_700_000_000_000


@attrs.frozen
class Refuse:
    """Answer with this status."""

    status: int
    headers: dict[str, str] = attrs.field(factory=dict)
    problem: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class HangUp:
    """Close without a word; a publish request has been followed by then."""


@attrs.frozen
class Cut:
    """Write so many frames in full, half of the next one, and close."""

    frames: int


@attrs.frozen
class Silent:
    """Answer, say `connected`, and then nothing, with the socket open."""


@attrs.frozen
class Speak:
    """Answer 200 with this body."""

    content_type: str
    body: bytes


@attrs.frozen
class CloseWith:
    """Take the WebSocket, and close it with this code."""

    code: int
    reason: str


Fault = Refuse | HangUp | Cut | Silent | Speak | CloseWith


class Gone(Exception):
    """The connection is to be closed now."""


@attrs.frozen
class Seen:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def cursor(self) -> str | None:
        values = self.query.get("last_event_id", []) + self.query.get("after", [])
        return self.headers.get("last-event-id") or next(iter(values), None)


class FakeServer:
    """Made by :func:`serve`. Restarting keeps the port."""

    def __init__(self) -> None:
        self.script: deque[Fault] = deque()
        self.seen: list[Seen] = []
        self.heartbeat_seconds = 15.0
        self.retry_ms: int | None = None
        self.heartbeats = 0
        self.port = 0
        self._nursery: trio.Nursery
        self._changed = trio.Event()
        self._scope: trio.CancelScope | None = None
        self.forget()

    # --- what tests do to it

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def head(self) -> EventId:
        return self._ids.last

    def forget(self, *, start_ms: int = START_MS) -> None:
        """Begin a new log, as a restart does whose log is in memory."""
        self.log: list[Event | CursorMove] = []
        self.keys: dict[str, EventId] = {}
        self.dropped: EventId | None = None
        self._ids = IdSequence(lambda: start_ms, None)

    def publish(self, data: Any = "", *, topics: tuple[str, ...] = ("t",), **fields: Any) -> EventId:
        return self._append(Draft.create(topics, data, limits=LIMITS, **fields))

    def move_cursor(self) -> EventId:
        """An event of other topics: subscribers only get their cursor moved."""
        self.log.append(CursorMove(self._ids.next()))
        self._change()
        return self.head

    def drop_all(self) -> None:
        """Keep nothing, as retention does."""
        self.log.clear()
        self.dropped = self.head

    async def start(self) -> None:
        listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1", backlog=50)
        self.port = listeners[0].socket.getsockname()[1]
        self._scope = trio.CancelScope()
        self._nursery.start_soon(self._listen, listeners, self._scope)

    async def stop(self) -> None:
        """Break off everything, as kill -9 does."""
        assert self._scope is not None
        self._scope.cancel()
        await trio.testing.wait_all_tasks_blocked()

    async def requests(self, count: int) -> list[Seen]:
        """Wait until so many requests have come."""
        await self.until(lambda: len(self.seen) >= count)
        return self.seen

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._changed.wait()

    def events(self) -> list[Event]:
        return [entry for entry in self.log if isinstance(entry, Event)]

    # --- how it serves

    async def _listen(self, listeners: list[trio.SocketListener], scope: trio.CancelScope) -> None:
        with scope:
            await trio.serve_listeners(self._serve, listeners)

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _append(self, draft: Draft) -> EventId:
        key = draft.idempotency_key
        if key is not None and key in self.keys:
            return self.keys[key]
        event = Event.from_draft(draft, self._ids.next())
        if key is not None:
            self.keys[key] = event.id
        self.log.append(event)
        self._change()
        return event.id

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            async with stream:
                connection = h11.Connection(h11.SERVER)
                while True:
                    request, raw = await _read_request(stream, connection)
                    self.seen.append(request)
                    fault = self.script.popleft() if self.script else None
                    self._change()
                    session = _Session(self, request, stream, connection, fault)
                    if request.headers.get("upgrade", "").lower() == "websocket":
                        await session.websocket(raw)
                        raise Gone
                    await session.http()
                    connection.start_next_cycle()
        except* (Gone, trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            pass


@asynccontextmanager
async def serve() -> AsyncIterator[FakeServer]:
    """A server that runs until the block ends."""
    server = FakeServer()
    async with trio.open_nursery() as nursery:
        server._nursery = nursery
        await server.start()
        yield server
        nursery.cancel_scope.cancel()


@attrs.define
class _Session:
    server: FakeServer
    request: Seen
    stream: trio.SocketStream
    connection: h11.Connection
    fault: Fault | None
    written: int = 0

    async def http(self) -> None:
        match self.fault:
            case Refuse(status, headers, problem):
                body = msgspec.json.encode(problem) if problem else b""
                content_type = "application/problem+json"
                await self._answer(status, body if status != 204 else b"", content_type, headers)
            case Speak(content_type, body):
                await self._answer(200, body, content_type)
            case _ if self.request.method == "POST":
                await self._publish()
            case HangUp():
                raise Gone
            case _ if self.request.path.endswith("/poll"):
                await self._poll()
            case _:
                await self._sse()

    async def _publish(self) -> None:
        if self.request.headers["content-type"] == "application/json":
            try:
                event_id = self.server._append(decode_draft(self.request.body, LIMITS))
            except StreamdError as error:
                body = msgspec.json.encode(_problem(error))
                await self._answer(error.status, body, "application/problem+json")
                return
            if isinstance(self.fault, HangUp):
                raise Gone
            await self._answer(201, msgspec.json.encode({"id": event_id}), "application/json")
            return
        answers = []
        for number, line in enumerate(self.request.body.splitlines(), start=1):
            try:
                answer: dict[str, Any] = {"id": self.server._append(decode_draft(line, LIMITS))}
            except StreamdError as error:
                answer = {"error": _problem(error)}
            answers.append(msgspec.json.encode({"line": number, **answer}) + b"\n")
        if isinstance(self.fault, HangUp):
            raise Gone
        await self._head(200, "application/x-ndjson")
        for answer_line in answers:
            await self._write(answer_line, self._data)
        await self._send(h11.EndOfMessage())

    async def _sse(self) -> None:
        await self._head(200, "text/event-stream")
        await self._follow(lambda frame: self._write(frame.sse, self._data))

    async def _poll(self) -> None:
        after = self.request.cursor
        lost, cursor = self._resume(EventId(after) if after else None)
        with trio.move_on_after(float(self.request.query["wait"][0])):
            while not self._after(cursor) and lost is None:
                await self.server._changed.wait()
        entries = self._after(cursor)
        events = [msgspec.Raw(entry.json) for entry in entries if isinstance(entry, Event)]
        following = entries[-1].id if entries else cursor
        answer = {"events": events, "next": following, "gap": None if lost is None else lost.data}
        body = msgspec.json.encode(answer)
        if isinstance(self.fault, Cut):
            await self._head(200, "application/json", {"content-length": str(len(body))})
            await self._data(body[: len(body) // 2])
            raise Gone
        await self._answer(200, body, "application/json")

    async def websocket(self, raw: bytes) -> None:
        if isinstance(self.fault, Refuse | Speak | HangUp):
            await self.http()
            return
        ws = WSConnection(ConnectionType.SERVER)
        ws.receive_data(raw)
        assert any(isinstance(event, Upgrade) for event in ws.events())
        await self.stream.send_all(ws.send(AcceptConnection()))
        if isinstance(self.fault, CloseWith):
            await self.stream.send_all(ws.send(CloseConnection(self.fault.code, self.fault.reason)))
            return

        async def read() -> None:
            while data := await self.stream.receive_some():
                ws.receive_data(data)
                for event in ws.events():
                    if isinstance(event, CloseConnection):
                        await self.stream.send_all(ws.send(event.response()))
                        scope.cancel()
            scope.cancel()

        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await self._follow(
                    lambda frame: self._write(ws.send(TextMessage(frame.text)), self.stream.send_all)
                )

    async def _follow(self, write: Callable[[Any], Awaitable[None]]) -> None:
        after = self.request.cursor
        fields = {
            "connection_id": "c-1",
            "head": self.server.head,
            "heartbeat_seconds": self.server.heartbeat_seconds,
        }
        lost, cursor = self._resume(EventId(after) if after else None)
        await write(Control("connected", fields, self.server.retry_ms))
        if isinstance(self.fault, Silent):
            await trio.sleep_forever()
        if lost is not None:
            await write(lost)
        while True:
            for entry in self._after(cursor):
                await write(entry)
                cursor = entry.id
            with trio.move_on_after(self.server.heartbeat_seconds) as quiet:
                await self.server._changed.wait()
            if quiet.cancelled_caught:
                await write(Control("heartbeat", {"timestamp": "2026-11-21T00:00:00Z"}))
                self.server.heartbeats += 1
                self.server._change()

    def _resume(self, after: EventId | None) -> tuple[Control | None, EventId]:
        """Where to go on, and the gap before it, if there is one."""
        server = self.server
        if after is None:
            return None, server.head
        if after > server.head:  # of another log
            return gap(after, server.head), server.head
        if after not in ("earliest", EARLIEST) and server.dropped is not None and after < server.dropped:
            return gap(after, server.dropped), server.dropped
        return None, EARLIEST if after == "earliest" else after

    def _after(self, cursor: EventId) -> list[Event | CursorMove]:
        query = self.request.query
        selectors = Selectors.parse(
            query.get("topic", []),
            query.get("pattern", []),
            max_selectors=100,
            max_topic_bytes=1024,
            max_pattern_bytes=1024,
        )
        later = [entry for entry in self.server.log if entry.id > cursor]
        return [e for e in later if isinstance(e, CursorMove) or selectors.matches(e.topics)]

    async def _write(self, frame: bytes, send: Callable[[bytes], Awaitable[None]]) -> None:
        if isinstance(self.fault, Cut) and self.written >= self.fault.frames:
            await send(frame[: len(frame) // 2])
            raise Gone
        await send(frame)
        self.written += 1

    async def _answer(
        self, status: int, body: bytes, content_type: str, headers: dict[str, str] | None = None
    ) -> None:
        await self._head(status, content_type, {"content-length": str(len(body)), **(headers or {})})
        if body:
            await self._data(body)
        await self._send(h11.EndOfMessage())

    async def _head(self, status: int, content_type: str, headers: dict[str, str] | None = None) -> None:
        fields = [("content-type", content_type), *(headers or {}).items()]
        await self._send(h11.Response(status_code=status, headers=fields))

    async def _data(self, data: bytes) -> None:
        await self._send(h11.Data(data=data))

    async def _send(self, event: h11.Event) -> None:
        await self.stream.send_all(self.connection.send(event) or b"")


async def _read_request(stream: trio.SocketStream, connection: h11.Connection) -> tuple[Seen, bytes]:
    raw, body, head = b"", b"", None
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = bytes(await stream.receive_some())
            raw += data
            connection.receive_data(data)
        elif isinstance(event, h11.Request):
            head = event
            if any(name == b"upgrade" for name, _ in head.headers):
                break
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            break
        else:
            raise Gone
    assert head is not None
    target = urlsplit(head.target.decode())
    headers = {name.decode(): value.decode() for name, value in head.headers}
    return Seen(head.method.decode(), target.path, parse_qs(target.query), headers, body), raw


def _problem(error: StreamdError) -> dict[str, Any]:
    return {"status": error.status, "code": error.code, "detail": error.detail, "field": error.field}
