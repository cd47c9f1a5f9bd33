"""Clients of each transport that read the messages for them alone."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs
import httpx
import msgspec
import trio

from streamd.connections import Connection
from streamd.events import ControlName
from streamd.testing import RunningServer
from tests.support.waiting import until
from tests.support.wire_clients import WebSocketClient, WireClient
from tests.support.wire_kinds import WIRES, WireKind, subscribed

_KINDS: Final[dict[str, WireKind]] = {wire.name: wire for wire in WIRES}
RECEIVERS: Final = ("HTTP/1.1", "HTTP/2", "WebSocket", "poll")
TRANSPORTS: Final = {"HTTP/1.1": "sse", "HTTP/2": "sse", "WebSocket": "websocket", "poll": "poll"}
WAIT_SECONDS: Final = 30


class Receiver(ABC):
    """One client of topic ``a``, whose streams it reads only when asked."""

    @abstractmethod
    async def message(self) -> tuple[str, Any]:
        """Return type and data of the next message for this client alone."""

    @abstractmethod
    async def closing(self) -> dict[str, Any]:
        """Return the fields of ``closing``."""

    @abstractmethod
    async def secret(self) -> str | None:
        """Return the resume secret, which a poll learns from its answer."""


@attrs.define
class StreamReceiver(Receiver):
    """A client of an open stream."""

    client: WireClient

    async def message(self) -> tuple[str, Any]:
        known = frozenset(str(name) for name in ControlName)
        messages = [control for control in self.client.controls if control[0] not in known]
        while not messages:
            await self.client.read()
            messages = [control for control in self.client.controls if control[0] not in known]
        self.client.controls.remove(messages[0])
        name, fields = messages[0]
        if not isinstance(self.client, WebSocketClient):
            return name, fields
        assert name == "message"
        assert set(fields) == {"type", "data"}
        return fields["type"], fields["data"]

    async def closing(self) -> dict[str, Any]:
        return await self.client.read_control("closing")

    async def secret(self) -> str | None:
        [secret] = [
            fields.get("resume_secret") for name, fields in self.client.controls if name == "connected"
        ]
        return secret


@attrs.define
class PollReceiver(Receiver):
    """A client that waits in one poll."""

    answer: dict[str, Any] = attrs.field(factory=dict)
    answered: trio.Event = attrs.field(factory=trio.Event)

    async def poll(self, http: httpx.AsyncClient, query: dict[str, str]) -> None:
        """Poll once."""
        received = await http.get("/events/poll", params={**query, "topic": "a", "wait": str(WAIT_SECONDS)})
        assert received.status_code == 200, received.text
        self.answer = msgspec.json.decode(received.content)
        self.answered.set()

    async def message(self) -> tuple[str, Any]:
        await self.answered.wait()
        fields = self.answer["control"].pop(0)
        assert fields.pop("control") == "message"
        assert set(fields) == {"type", "data"}
        return fields["type"], fields["data"]

    async def closing(self) -> dict[str, Any]:
        await self.answered.wait()
        fields: dict[str, Any] = self.answer["control"].pop()
        assert fields.pop("control") == "closing"
        return fields

    async def secret(self) -> str | None:
        await self.answered.wait()
        secret: str | None = self.answer.get("resume_secret")
        return secret


@asynccontextmanager
async def receiving(
    server: RunningServer, kind: str, *, small: bool = False, **query: str
) -> AsyncIterator[tuple[Receiver, Connection]]:
    """Connect one client, and yield it with its connection in the server.

    Args:
        server: the server.
        kind: one of `RECEIVERS`.
        small: with receive buffers so small that a stream which is not read stalls early.
        query: further parameters of the request, such as ``client_id``.
    """
    before = {connection.id for connection in server.streamd.connections}

    def fresh() -> list[Connection]:
        return [connection for connection in server.streamd.connections if connection.id not in before]

    with trio.fail_after(WAIT_SECONDS):
        if kind != "poll":
            buffers = {"receive_buffer_bytes": 4096, "window_bytes": 4096} if small else {}
            async with subscribed(server, _KINDS[kind], "a", **buffers, **query) as client:  # type: ignore[arg-type]
                [connection] = fresh()
                yield StreamReceiver(client), connection
            return
        async with (
            httpx.AsyncClient(base_url=server.url, timeout=WAIT_SECONDS) as http,
            trio.open_nursery() as nursery,
        ):
            receiver = PollReceiver()
            nursery.start_soon(receiver.poll, http, query)
            await until(lambda: bool(fresh()))
            [connection] = fresh()
            yield receiver, connection
            nursery.cancel_scope.cancel()
