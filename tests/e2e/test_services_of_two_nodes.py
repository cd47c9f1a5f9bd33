"""Two nodes on one Redis: a client sees the same items, totals and orders on both."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import pytest
import trio
from quart_trio import QuartTrio

from streamd import Streamd
from streamd.events.sse import ServerSentEvent
from streamd.log.redis import RedisLog
from streamd.log.settings import LogSettings
from streamd.redis import RedisStore
from streamd.services.purchase_orders import service as orders_service
from streamd.services.purchase_orders.settings import PurchaseOrderSettings
from streamd.services.sentiment import service as sentiment_service
from streamd.services.sentiment.settings import SentimentSettings
from streamd.testing import StreamReader, open_stream, run_server
from tests.support.redis_links import open_link
from tests.support.redis_servers import new_prefix, shared_server

ITEMS = "/api/v2/items"
METRICS = "/api/v2/metrics"
ORDERS = "/api/purchase-orders"
CSV = "sku,description,quantity,unit price\nMUG-1,Blue mug,12,4.50\n"


@attrs.frozen
class ServiceNode:
    """A node with both services, and a client."""

    url: str
    http: httpx.AsyncClient

    async def put_item(self, id: str, ticker: str = "AAPL") -> Any:
        body = {"items": [{"ticker": ticker, "text": "Good.", "item_id": id}]}
        answer = await self.http.post(ITEMS, json=body)
        assert answer.status_code == 202, answer.text
        return answer.json()["accepted"]


@asynccontextmanager
async def open_node(prefix: str) -> AsyncIterator[ServiceNode]:
    log = RedisLog(shared_server().address, LogSettings(), prefix=prefix)
    async with open_link() as link, trio.open_nursery() as nursery:
        await nursery.start(log.serve)
        app = QuartTrio(__name__)
        streamd = Streamd(app, log=log)
        streamd.redis = RedisStore(link, prefix)
        streamd.add(sentiment_service.make(streamd, SentimentSettings()))
        streamd.add(orders_service.make(streamd, PurchaseOrderSettings()))
        async with run_server(app=app) as server, httpx.AsyncClient(base_url=server.url) as client:
            yield ServiceNode(server.url, client)
        nursery.cancel_scope.cancel()


@pytest.fixture
async def nodes() -> AsyncIterator[list[ServiceNode]]:
    prefix = new_prefix()
    async with open_node(prefix) as one, open_node(prefix) as two:
        yield [one, two]


async def next_of(reader: StreamReader, type: str) -> Any:
    while (block := await reader.next_block()) is not None:
        if isinstance(block, ServerSentEvent) and block.type == type:
            return json.loads(block.data)
    raise EOFError(f"the stream ended without {type}")


async def test_items_are_the_same_on_both_nodes(nodes: list[ServiceNode]) -> None:
    one, two = nodes
    assert await one.put_item("a") == 1
    assert await two.put_item("a") == 0
    async with (
        open_stream(one.url, path="/api/v2/stream") as first,
        open_stream(two.url, path="/api/v2/stream") as second,
    ):
        for reader in (first, second):
            assert (await next_of(reader, "metrics"))["total"] == 1
        assert await two.put_item("b", "MSFT") == 1
        for reader in (first, second):
            ids: list[str] = []
            metrics: Any = {"total": 1}
            while "b" not in ids or metrics["total"] != 2:  # "a" may be published after the stream began
                event = await reader.next_block()
                assert event is not None
                if isinstance(event, ServerSentEvent) and event.type == "new_item":
                    ids.append(json.loads(event.data)["item_id"])
                elif isinstance(event, ServerSentEvent) and event.type == "metrics":
                    metrics = json.loads(event.data)
            assert ids in (["b"], ["a", "b"])
            assert metrics["by_tag"] == {"AAPL": 1, "MSFT": 1}
    answers = [await node.http.get(METRICS) for node in nodes]
    assert answers[0].json() == answers[1].json()
    assert answers[0].headers["ETag"] == answers[1].headers["ETag"]


async def test_an_order_is_followed_and_found_on_the_other_node(nodes: list[ServiceNode]) -> None:
    one, two = nodes
    query = {"merchantId": "shop"}
    async with open_stream(two.url, path="/api/realtime/events", merchantId="shop") as reader:
        sent = await one.http.post(ORDERS, params=query, content=CSV, headers={"Content-Type": "text/csv"})
        assert sent.status_code == 202, sent.text
        po_id = sent.json()["poId"]
        while (done := await next_of(reader, "completion"))["stage"] != "status_update":
            assert done["poId"] == po_id
    while (second := (await two.http.get(f"{ORDERS}/{po_id}", params=query)).json())["endedAt"] is None:
        pass
    first = (await one.http.get(f"{ORDERS}/{po_id}", params=query)).json()
    assert first["status"] == "completed"
    for order in (first, second):  # the task is in the store of tasks, which is not shared here
        del order["workflow"]
    assert first == second
