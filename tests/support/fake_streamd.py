"""A fake of streamd for its clients: a log that resumes, three transports, and faults that a test orders.

It speaks the contract over real sockets and shares the codecs of :mod:`streamd.events` with the real server.
The next requests meet the entries of ``script``; all others are answered as the contract says.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import attrs
import msgspec
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, TextMessage

from streamd.errors import StreamdError
from streamd.events import EARLIEST, Control, CursorMove, Draft, Event, EventId, IdSequence, Selectors
from streamd.events.bodies import decode_draft
from streamd.events.control import gap
from streamd.events.settings import EventSettings
from tests.support.fake_server import (
    NO_HEADERS,
    RECEIVE_BYTES,
    Answer,
    Exchange,
    FakeServer,
    Request,
    respond,
    running,
)

LIMITS = EventSettings()
START_MS = 1_700_000_000_000
RESUME_SECRET = "c-1.0123456789abcdef"
"""Sent to every client with a client id."""


@attrs.frozen
class Cut:
    """Write this number of frames in full, half of the next one, and close."""

    frames: int


@attrs.frozen
class HangUp:
    """Close without an answer; the events of a publish request are in the log then."""


@attrs.frozen
class Silent:
    """Answer, send ``connected``, and then nothing, with the socket open."""


@attrs.frozen
class CloseWith:
    """Accept the WebSocket, and close it with this code."""

    code: int
    reason: str


Fault = Answer | HangUp | Cut | Silent | CloseWith


def refuse(
    status: int, headers: Mapping[str, str] = NO_HEADERS, problem: dict[str, Any] | None = None
) -> Answer:
    """Make an answer that refuses a request, with a problem document (RFC 9457) if there is one."""
    body = b"" if problem is None else msgspec.json.encode(problem)
    return respond(status, body, {"Content-Type": "application/problem+json", **headers})


def respond_as(content_type: str, body: bytes) -> Answer:
    """Make an answer of 200 with this body."""
    return respond(200, body, {"Content-Type": content_type})


def cursor_of(request: Request) -> str | None:
    """Return the event id that a request resumes after: of its header, or of its query."""
    values = request.query.get("last_event_id", []) + request.query.get("after", [])
    return request.headers.get("last-event-id") or next(iter(values), None)


class FakeStreamd(FakeServer):
    """A server with a log in memory.

    Attributes:
        script: faults for the next requests, the first one first.
        log: events, and cursor moves past events of other topics.
        heartbeat_seconds: a quiet stream gets a heartbeat after this.
        retry_ms: sent with ``connected``, if set.
        heartbeats: sent so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.script: deque[Fault] = deque()
        self.heartbeat_seconds = 15.0
        self.retry_ms: int | None = None
        self.heartbeats = 0
        self.forget()

    @property
    def head(self) -> EventId:
        return self._ids.last

    @property
    def events(self) -> list[Event]:
        return [entry for entry in self.log if isinstance(entry, Event)]

    def forget(self, *, start_ms: int = START_MS) -> None:
        """Begin a new log, as a restart does that kept the log in memory."""
        self.log: list[Event | CursorMove] = []
        self.keys: dict[str, EventId] = {}
        self.dropped: EventId | None = None
        self._ids = IdSequence(lambda: start_ms, None)

    def publish(self, data: Any = "", *, topics: tuple[str, ...] = ("t",), **fields: Any) -> EventId:
        """Append an event to the log."""
        return self.append(Draft.create(topics, data, limits=LIMITS, **fields))

    def append(self, draft: Draft) -> EventId:
        """Append a draft to the log, once for each idempotency key."""
        key = draft.idempotency_key
        if key is not None and key in self.keys:
            return self.keys[key]
        event = Event.from_draft(draft, self._ids.next())
        if key is not None:
            self.keys[key] = event.id
        self.log.append(event)
        self.note_change()
        return event.id

    def move_cursor(self) -> EventId:
        """Append an event of other topics: subscribers only get their cursor moved."""
        self.log.append(CursorMove(self._ids.next()))
        self.note_change()
        return self.head

    def drop_all(self) -> None:
        """Drop every event, as retention does."""
        self.log.clear()
        self.dropped = self.head

    async def answer(self, exchange: Exchange) -> None:
        """Answer a request by the script or by the contract."""
        fault = self.script.popleft() if self.script else None
        if callable(fault):
            await fault(exchange)
            return
        session = _Session(self, exchange, fault)
        if exchange.request.method == "POST":
            await session.publish()
        elif isinstance(fault, HangUp):
            await exchange.hang_up()
        elif exchange.request.headers.get("upgrade", "").lower() == "websocket":
            await session.websocket()
        elif exchange.request.path.endswith("/poll"):
            await session.poll()
        else:
            await session.sse()


def fake_streamd() -> AbstractAsyncContextManager[FakeStreamd]:
    """Run a server while the block lasts."""
    return running(FakeStreamd())


@attrs.define
class _Session:
    """The answer to one request, with its fault.

    Attributes:
        written: frames in full (count).
    """

    server: FakeStreamd
    exchange: Exchange
    fault: HangUp | Cut | Silent | CloseWith | None
    written: int = 0

    async def publish(self) -> None:
        request = self.exchange.request
        if request.headers["content-type"] == "application/json":
            try:
                event_id = self.server.append(decode_draft(request.body, LIMITS))
            except StreamdError as error:
                await refuse(error.status, problem=_problem(error))(self.exchange)
                return
            if isinstance(self.fault, HangUp):
                await self.exchange.hang_up()
                return
            body, headers = msgspec.json.encode({"id": event_id}), {"Content-Type": "application/json"}
            await respond(201, body, headers)(self.exchange)
            return
        answers = []
        for number, line in enumerate(request.body.splitlines(), start=1):
            try:
                answer: dict[str, Any] = {"id": self.server.append(decode_draft(line, LIMITS))}
            except StreamdError as error:
                answer = {"error": _problem(error)}
            answers.append(msgspec.json.encode({"line": number, **answer}) + b"\n")
        if isinstance(self.fault, HangUp):
            await self.exchange.hang_up()
            return
        await self.exchange.head(200, {"Content-Type": "application/x-ndjson"})
        for answer_line in answers:
            await self._write(answer_line, self.exchange.data)
        await self.exchange.end()

    async def sse(self) -> None:
        await self.exchange.head(200, {"Content-Type": "text/event-stream"})
        await self._follow(lambda frame: self._write(frame.sse, self.exchange.data))

    async def poll(self) -> None:
        request = self.exchange.request
        lost, cursor = self._resume()
        with trio.move_on_after(float(request.query["wait"][0])):
            while not self._after(cursor) and lost is None:
                await self.server.changed.wait()
        entries = self._after(cursor)
        events = [msgspec.Raw(entry.json) for entry in entries if isinstance(entry, Event)]
        following = entries[-1].id if entries else cursor
        gap = None if lost is None else lost.data
        answer = {"events": events, "next": following, "gap": gap, **self._secret()}
        body, headers = msgspec.json.encode(answer), {"Content-Type": "application/json"}
        if isinstance(self.fault, Cut):
            half = respond(200, body[: len(body) // 2], headers, content_length=len(body))
            await half(self.exchange)
        else:
            await respond(200, body, headers)(self.exchange)

    async def websocket(self) -> None:
        request, stream = self.exchange.request, self.exchange.stream
        ws = WSConnection(ConnectionType.SERVER)
        ws.initiate_upgrade_connection(
            [(name.encode(), value.encode()) for name, value in request.headers.items()], request.target
        )
        await stream.send_all(ws.send(AcceptConnection()))
        if isinstance(self.fault, CloseWith):
            await stream.send_all(ws.send(CloseConnection(self.fault.code, self.fault.reason)))
            return

        async def read() -> None:
            while data := await stream.receive_some(RECEIVE_BYTES):
                ws.receive_data(data)
                for event in ws.events():
                    if isinstance(event, CloseConnection):
                        await stream.send_all(ws.send(event.response()))
                        scope.cancel()
            scope.cancel()

        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await self._follow(
                    lambda frame: self._write(ws.send(TextMessage(frame.text)), stream.send_all)
                )

    async def _follow(self, write: Callable[[Any], Awaitable[None]]) -> None:
        """Write frames until the connection ends."""
        server = self.server
        fields = {
            "connection_id": "c-1",
            "head": server.head,
            "heartbeat_seconds": server.heartbeat_seconds,
            **self._secret(),
        }
        lost, cursor = self._resume()
        await write(Control("connected", fields, server.retry_ms))
        if isinstance(self.fault, Silent):
            await trio.sleep_forever()
        if lost is not None:
            await write(lost)
        while True:
            for entry in self._after(cursor):
                await write(entry)
                cursor = entry.id
            with trio.move_on_after(server.heartbeat_seconds) as quiet:
                await server.changed.wait()
            if quiet.cancelled_caught:
                await write(Control("heartbeat", {"timestamp": "2026-11-21T00:00:00Z"}))
                server.heartbeats += 1
                server.note_change()

    def _secret(self) -> dict[str, str]:
        """Return the field with the resume secret, for a client with a client id."""
        return {"resume_secret": RESUME_SECRET} if "client_id" in self.exchange.request.query else {}

    def _resume(self) -> tuple[Control | None, EventId]:
        """Find the cursor to begin with, and the gap before it, if there is one."""
        server, requested = self.server, cursor_of(self.exchange.request)
        if requested is None:
            return None, server.head
        after = EventId(requested)
        if after > server.head:  # of another log
            return gap(after, server.head), server.head
        if after not in ("earliest", EARLIEST) and server.dropped is not None and after < server.dropped:
            return gap(after, server.dropped), server.dropped
        return None, EARLIEST if after == "earliest" else after

    def _after(self, cursor: EventId) -> list[Event | CursorMove]:
        """Find the matching entries of the log after a cursor."""
        query = self.exchange.request.query
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
            await self.exchange.hang_up()
            raise trio.ClosedResourceError
        await send(frame)
        self.written += 1


def _problem(error: StreamdError) -> dict[str, Any]:
    return {"status": error.status, "code": error.code, "detail": error.detail, "field": error.field}
