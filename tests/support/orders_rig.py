"""A server with the purchase orders service, and a client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import msgspec
import trio

from streamd import create_app
from streamd.config import RetrySettings
from streamd.events.sse import ServerSentEvent
from streamd.runtime import Runtime
from streamd.services.purchase_orders.settings import PurchaseOrderSettings
from streamd.settings import Settings
from streamd.testing import StreamReader, open_stream, run_server
from tests.support.fake_server import respond
from tests.support.messages import data_of

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
CUT_OFF = respond(201, b'{"id": 4', content_length=100)
"""The answer of a shop whose connection breaks in the body."""


@attrs.frozen
class Rig:
    """A server and a client."""

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
        """Send an order that is accepted; return the answer."""
        answer = await self.send(body, content_type, merchant)
        assert answer.status_code == 202, answer.text
        accepted: dict[str, str] = answer.json()
        return accepted

    async def order(self, accepted: dict[str, str]) -> dict[str, Any]:
        """Return the order as it is now."""
        answer = await self.client.get(accepted["statusUrl"])
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    @asynccontextmanager
    async def follow(self, merchant: str = "shop", after: str | None = None) -> AsyncIterator[StreamReader]:
        """Follow the events of a merchant."""
        async with open_stream(self.url, path=REALTIME, last_event_id=after, merchantId=merchant) as reader:
            yield reader

    async def events_of(self, accepted: dict[str, str]) -> list[tuple[str, dict[str, Any]]]:
        """Return all events of an order, up to its end or the error that ends it."""
        async with open_stream(self.url, path=accepted["eventsUrl"]) as reader:
            return [(event.type, data_of(event)) for event in await read_order(reader, accepted["poId"])]

    async def ended(self, accepted: dict[str, str]) -> dict[str, Any]:
        """Wait for the end of the order's task and return the order."""
        async with open_stream(self.url, path=f"/tasks/{accepted['workflowId']}/events") as reader:
            while await reader.next_event() is not None:
                pass
        return await self.order(accepted)


async def read_order(reader: StreamReader, po_id: str) -> list[ServerSentEvent]:
    """Read the events of one order, up to the end of its last stage or the error that ends it."""
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


def check_payload(type: str, data: dict[str, Any]) -> None:
    """Check that an event has exactly the fields of the contract."""
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
    """Run a server; ``options`` are settings of the section ``purchase_orders``."""
    quick = {"retry": RetrySettings(attempts=4, backoff_seconds=0.01), **options}
    settings = attrs.evolve(settings or Settings(), purchase_orders=PurchaseOrderSettings(**quick))
    app = create_app(settings)
    with trio.fail_after(DEADLINE_SECONDS):  # fails a test that would hang
        async with (
            run_server(settings, app=app) as server,
            httpx.AsyncClient(base_url=server.url, timeout=DEADLINE_SECONDS) as client,
        ):
            yield Rig(client, server.url, server.streamd.runtime, app.extensions)
