"""Readers over each transport, which reconnect and resume by their last event id for ever."""

import random
from abc import ABC, abstractmethod
from typing import Any, Final, NoReturn
from urllib.parse import urlencode

import h11
import httpx
import msgspec
import trio
from wsproto.frame_protocol import ParseFailed

from streamd.events.sse import ServerSentEvent
from streamd.testing import StreamRefused, open_stream
from tests.chaos.history import (
    END_TOPIC,
    Connected,
    Delivery,
    GapNotice,
    Moved,
    ReaderHistory,
)
from tests.chaos.world import World
from tests.support.wire_clients import WebSocketClient

CUT_OFF: Final = (OSError, trio.BrokenResourceError, h11.RemoteProtocolError)
_POLL_SECONDS: Final = 2
_CONTROLS: Final = ("connected", "heartbeat", "gap", "closing", "token-expiring")


class Reader(ABC):
    """One reader.

    Args:
        world: the run.
        history: gets all that it receives; replaced by :meth:`begin_part`. Its start is the first cursor.
    """

    def __init__(self, world: World, history: ReaderHistory) -> None:
        self.history = history
        self._world = world
        self._cursor: str | None = history.start
        self._ended = trio.Event()

    async def run(self) -> NoReturn:
        """Read until cancelled."""
        while True:
            await self._world.until_up()
            try:
                await self._connect()
            except CUT_OFF:
                pass
            except StreamRefused as refusal:
                if refusal.status != 503:
                    self._world.notes.append(f"{self.history.name} was answered {refusal}")
            await trio.lowlevel.checkpoint()

    async def until_end(self) -> None:
        """Wait for the event that ends the part."""
        await self._ended.wait()

    def begin_part(self, end_token: str) -> ReaderHistory:
        """Begin the history of the next part, and return it."""
        self.history = self.history.split(end_token)
        self._ended = trio.Event()
        return self.history

    @abstractmethod
    async def _connect(self) -> None:
        """Read one connection up to its end."""

    @property
    def _query(self) -> list[tuple[str, str]]:
        topics = [("topic", topic) for topic in (*self.history.topics, END_TOPIC)]
        return topics + [("pattern", pattern) for pattern in self.history.patterns]

    # --- recording ----------------------------------------------------------------------------

    def _take_connected(self, head: str) -> None:
        self.history.items.append(Connected(head, self._world.stamp()))
        if self._cursor is None:  # the events after it are this client's
            self._cursor = self.history.start = head
            self._world.notify()

    def _take_gap(self, fields: dict[str, Any]) -> None:
        notice = GapNotice(
            fields["requested"], fields["resumed_after"], self._world.stamp(), self._world.number_of_round
        )
        self.history.items.append(notice)

    def _take_cursor(self, id: str) -> None:
        self._cursor = id
        self.history.items.append(Moved(id, self._world.stamp()))

    def _take_event(self, id: str, type: str, data: Any, topics: tuple[str, ...] | None = None) -> None:
        self._cursor = id
        world, token = self._world, token_of(data)
        self.history.items.append(
            Delivery(id, token, type, data, topics, world.stamp(), world.number_of_round)
        )
        if token == world.history.end_token:
            self.history.at_end = True
            self._ended.set()


def token_of(data: Any) -> str:
    """Return the token in the data of an event, or a name for data without one."""
    if isinstance(data, str):
        return data.partition("\n")[0]
    if isinstance(data, dict) and "token" in data:
        return str(data["token"])
    if isinstance(data, dict) and "taskId" in data:
        return f"tasks/{data['taskId']} {data['version']}"
    return repr(data)


def _value_of(text: str) -> Any:
    """Decode the data of a Server-Sent Event, which does not tell JSON from text."""
    return msgspec.json.decode(text) if text.startswith("{") else text


class SSEReader(Reader):
    """A reader of Server-Sent Events.

    Args:
        leaves: the reader leaves a connection after a few events, and comes back.
    """

    def __init__(self, world: World, history: ReaderHistory, *, leaves: bool = False) -> None:
        super().__init__(world, history)
        self._rng: random.Random | None = world.rng(history.name) if leaves else None

    async def _connect(self) -> None:
        path = f"/events?{urlencode(self._query)}"
        left = self._rng.randint(1, 40) if self._rng is not None else -1
        async with open_stream(self._world.proxy.url, path=path, last_event_id=self._cursor) as reader:
            while (block := await reader.next_block()) is not None and left != 0:
                left -= 1
                if not isinstance(block, ServerSentEvent):
                    self._take_cursor(block.last_event_id)
                elif block.type == "connected":
                    self._take_connected(msgspec.json.decode(block.data)["head"])
                elif block.type == "gap":
                    self._take_gap(msgspec.json.decode(block.data))
                elif block.type not in _CONTROLS:
                    self._take_event(block.last_event_id, block.type, _value_of(block.data))


class PollReader(Reader):
    """A reader by long polling."""

    async def _connect(self) -> None:
        async with httpx.AsyncClient(base_url=self._world.proxy.url, timeout=20) as http:
            while True:
                after = [] if self._cursor is None else [("after", self._cursor)]
                query = [*self._query, *after, ("wait", "0" if self._cursor is None else str(_POLL_SECONDS))]
                try:
                    answer = await http.get("/events/poll", params=urlencode(query))
                except httpx.TransportError:
                    return
                if answer.status_code != 200:
                    raise StreamRefused(answer.status_code, {}, answer.content)
                self._take_answer(answer.json())

    def _take_answer(self, fields: dict[str, Any]) -> None:
        if self._cursor is None:
            if not fields["events"]:  # otherwise the next poll has the position before it
                self._take_connected(fields["next"])
            return
        if fields["gap"] is not None:
            self._take_gap(fields["gap"])
        for event in fields["events"]:
            self._take_event(event["id"], event["type"], event["data"], tuple(event["topics"]))
        if fields["next"] != self._cursor:
            self._take_cursor(fields["next"])


class WebSocketReader(Reader):
    """A reader over a WebSocket."""

    async def _connect(self) -> None:
        after = [] if self._cursor is None else [("last_event_id", self._cursor)]
        async with await trio.open_tcp_stream("127.0.0.1", self._world.proxy.port) as stream:
            client = _SocketClient(stream, self)
            await client.open(f"/events?{urlencode(self._query + after)}", 0)
            try:
                while not client.ended and not client.at_eof:
                    await client.read()
            except (AssertionError, ParseFailed, msgspec.DecodeError) as error:
                self._world.notes.append(f"{self.history.name} received a wrong frame: {error!r}")

    def take_message(self, fields: dict[str, Any]) -> None:
        """Record one message, an event or a control frame."""
        match fields.get("control"):
            case None:
                self._take_event(fields["id"], fields["type"], fields["data"], tuple(fields["topics"]))
            case "connected":
                self._take_connected(fields["head"])
            case "gap":
                self._take_gap(fields)
            case "cursor":
                self._take_cursor(fields["id"])


class _SocketClient(WebSocketClient):
    """A client that hands its messages on in their order, and bears being cut off or refused."""

    def __init__(self, stream: trio.abc.Stream, reader: WebSocketReader) -> None:
        super().__init__(stream)
        self._reader = reader

    def feed(self, data: bytes) -> bytes:
        if not self.head and not (bytes(self._rest) + data).startswith(b"HTTP/1.1 101 "[: len(data)]):
            raise OSError("the handshake was refused")
        return super().feed(data)

    def _take_frame(self, opcode: Any, payload: bytes) -> None:
        super()._take_frame(opcode, payload)
        if opcode == 1:
            self._reader.take_message(msgspec.json.decode(payload))

    def end_of_connection(self) -> None:
        """Accept an end in the middle of a frame."""
