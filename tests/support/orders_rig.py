"""A shop to send orders to, and a server that sends them: both on real sockets."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import h11
import httpx
import msgspec
import trio

from streamd import create_app
from streamd.events.sse import ServerSentEvent
from streamd.runtime import Runtime
from streamd.services.purchase_orders.settings import PurchaseOrderSettings
from streamd.settings import Settings
from streamd.testing import StreamReader, open_stream, run_server

ORDERS = "/api/purchase-orders"
REALTIME = "/api/realtime/events"
DEADLINE_SECONDS = 60

KEYS = {
    "stage": {"stage", "poId", "workflowId", "status", "message"},
    "progress": {"poId", "workflowId", "stage", "progress", "message"},
    "error": {"stage", "poId", "workflowId", "error"},
}
COMPLETION = {"stage", "poId", "workflowId"}
COMPLETION_MORE = {"lineItems", "confidence", "purchaseOrderId", "shopifyOrderId"}


PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 100
CUT_OFF = b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n" + b'{"id": 4'


# --- a peer that answers as it is told ------------------------------------------------------------


@attrs.frozen
class Asked:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answer = bytes | Callable[[Asked, trio.SocketStream], Awaitable[bytes]]


def http(status: int, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of an answer."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def page(asked: Asked, body: bytes, **headers: str) -> bytes:
    """The answer to a HEAD has no body."""
    whole = http(200, body, **headers)
    return whole[: -len(body)] if asked.method == "HEAD" else whole


async def hang_up(asked: Asked, stream: trio.SocketStream) -> bytes:
    await stream.aclose()
    return b""


async def forever(asked: Asked, stream: trio.SocketStream) -> bytes:
    await trio.sleep_forever()


@attrs.define
class Peer:
    """A small HTTP server: answers in the order it was given, the last one again and again."""

    answers: list[Answer]
    asked: list[Asked] = attrs.field(factory=list)
    url: str = ""

    async def serve(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        head, body = None, b""
        while True:
            try:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await stream.receive_some())
                    continue
            except (trio.BrokenResourceError, h11.RemoteProtocolError):
                return  # who asked is gone
            if isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            else:
                break
        if head is None:
            return
        headers = {name.decode().lower(): value.decode() for name, value in head.headers}
        asked = Asked(head.method.decode(), head.target.decode(), headers, body)
        self.asked.append(asked)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        try:
            await stream.send_all(answer if isinstance(answer, bytes) else await answer(asked, stream))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return


@asynccontextmanager
async def peer(*answers: Answer) -> AsyncIterator[Peer]:
    """A peer on a free port of the loopback interface."""
    made = Peer(list(answers))
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, made.serve, 0, host="127.0.0.1"))
        made.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield made
        nursery.cancel_scope.cancel()


# --- a server with the service --------------------------------------------------------------------


@attrs.frozen
class Rig:
    """A server, and a client of it."""

    client: httpx.AsyncClient
    url: str
    runtime: Runtime
    extensions: dict[str, Any]

    async def send(
        self, body: str | bytes | Any, content_type: str = "text/csv", merchant: str = "shop"
    ) -> httpx.Response:
        """Send an order."""
        content = body if isinstance(body, str | bytes) else msgspec.json.encode(body)
        return await self.client.post(
            ORDERS,
            params={"merchantId": merchant} if merchant else {},
            content=content,
            headers={"Content-Type": content_type},
        )

    async def accept(
        self, body: str | bytes | Any, content_type: str = "text/csv", merchant: str = "shop"
    ) -> dict[str, str]:
        """Send an order that is taken; what was answered."""
        answer = await self.send(body, content_type, merchant)
        assert answer.status_code == 202, answer.text
        accepted: dict[str, str] = answer.json()
        return accepted

    async def order(self, accepted: dict[str, str]) -> dict[str, Any]:
        """The order as it is now."""
        answer = await self.client.get(accepted["statusUrl"])
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    @asynccontextmanager
    async def follow(self, merchant: str = "shop", after: str | None = None) -> AsyncIterator[StreamReader]:
        """The events of a merchant."""
        async with open_stream(self.url, path=REALTIME, last_event_id=after, merchantId=merchant) as reader:
            yield reader

    async def events_of(self, accepted: dict[str, str]) -> list[tuple[str, dict[str, Any]]]:
        """All events of an order, from its own URL: to its end, or to the error that ends it."""
        async with open_stream(self.url, path=accepted["eventsUrl"]) as reader:
            return [(event.type, data_of(event)) for event in await read_to_end(reader, accepted["poId"])]

    async def ended(self, accepted: dict[str, str]) -> dict[str, Any]:
        """The order, once its task has ended."""
        async with open_stream(self.url, path=f"/tasks/{accepted['workflowId']}/events") as reader:
            while await reader.next_event() is not None:
                pass
        return await self.order(accepted)


async def read_to_end(reader: StreamReader, po_id: str) -> list[ServerSentEvent]:
    """The events of one order, up to the end of its last stage, or the error that ends it."""
    events = []
    while (event := await reader.next_event()) is not None:
        data = data_of(event)
        if data["poId"] != po_id:
            continue
        events.append(event)
        check_payload(event.type, data)
        if (event.type, data["stage"]) == ("completion", "status_update"):
            return events
        if event.type == "error" and data["stage"] not in ("shopify_sync", "ai_enrichment"):
            return events
    raise EOFError(f"the stream ended after {events}")


def data_of(event: ServerSentEvent) -> dict[str, Any]:
    return msgspec.json.decode(event.data, type=dict[str, Any])


def check_payload(type: str, data: dict[str, Any]) -> None:
    """Exactly the fields of the contract."""
    if type == "completion":
        assert COMPLETION <= set(data) <= COMPLETION | COMPLETION_MORE, data
    else:
        assert set(data) == KEYS[type], (type, data)
    if type == "stage":
        assert data["status"] == "started"
    if type == "progress":
        assert 0 <= data["progress"] <= 100


@asynccontextmanager
async def orders(settings: Settings | None = None, **options: Any) -> AsyncIterator[Rig]:
    """A running server; ``options`` are of the section ``purchase_orders``."""
    quick = {"sync_backoff_seconds": 0.01, "sweep_seconds": 0.05, **options}
    settings = attrs.evolve(settings or Settings(), purchase_orders=PurchaseOrderSettings(**quick))
    app = create_app(settings)
    with trio.fail_after(DEADLINE_SECONDS):  # a test that waits for what never comes fails, and does not hang
        async with (
            run_server(settings, app=app) as server,
            httpx.AsyncClient(base_url=server.url, timeout=DEADLINE_SECONDS) as client,
        ):
            yield Rig(client, server.url, server.streamd.runtime, app.extensions)
