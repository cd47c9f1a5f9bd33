"""``kill -9`` between storing a resource and answering: the request that is sent again gets that resource."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import httpx
import trio

from tests.support.server_process import ServerProcess, server_process
from tests.support.silent_app import SILENT

SECONDS = 60
KEY = {"Idempotency-Key": "k"}
APP = ("--app", "tests.support.silent_app:make")


@attrs.frozen
class Creation:
    """A request that creates a resource.

    Args:
        path: the path and query.
        id: the field of the answer with the resource's id, or with a list of one id.
        type: the media type of the bodies.
        body: the body.
        other: another valid body.
    """

    path: str
    id: str
    type: str
    body: str
    other: str

    async def send(self, http: httpx.AsyncClient, *, body: str = "", **headers: str) -> httpx.Response:
        return await http.post(
            self.path, content=body or self.body, headers={"Content-Type": self.type, **KEY, **headers}
        )


def json_creation(path: str, id: str, other: dict[str, Any], **body: Any) -> Creation:
    """Make a creation with a JSON body, and some other values for the other one."""
    return Creation(path, id, "application/json", json.dumps(body), json.dumps(body | other))


CREATIONS = [
    json_creation("/tasks", "id", {"input": 1}, kind="import"),
    json_creation(
        "/research/stream",
        "researchSessionId",
        {"userRole": "CEO"},
        areaId="decision_makers",
        companyId="brightquay-software",
        userRole="CFO",
        userCompany="Initech",
    ),
    json_creation(
        "/api/strategy",
        "strategyId",
        {"budget": 21},
        business="a bakery",
        audience="families",
        goals=["more customers"],
        channels=["email"],
        budget=20,
    ),
    json_creation(
        "/api/brand-monitor/analyses",
        "taskId",
        {"brand": "Globex"},
        brand="Acme",
        competitors=[],
        mentions=[{"text": "I love Acme", "source": "forum", "time": "2026-11-20T10:00:00Z"}],
    ),
    json_creation(
        "/api/v2/items",
        "item_ids",
        {"items": [{"ticker": "ACME", "text": "other"}]},
        items=[{"ticker": "ACME", "text": "x"}],
    ),
    Creation(
        "/api/purchase-orders?merchantId=a",
        "poId",
        "text/csv",
        "sku,quantity\na,12\n",
        "sku,quantity\na,13\n",
    ),
]


async def send_without_an_answer(server: ServerProcess) -> None:
    """Send every request, and kill the server when it has stored all resources and answered nothing."""
    async with (
        httpx.AsyncClient(base_url=server.url, timeout=SECONDS) as http,
        trio.open_nursery() as nursery,
    ):

        async def send(creation: Creation) -> None:
            try:
                answer = await creation.send(http, **{SILENT: "yes"})
            except httpx.TransportError:
                return
            raise AssertionError(f"{creation.path} was answered {answer.status_code}")

        for creation in CREATIONS:
            nursery.start_soon(send, creation)
        statuses = await server.program.lines(len(CREATIONS))
        server.program.process.kill()
        await server.program.ended()
    assert sorted(statuses) == ["201"] + ["202"] * (len(CREATIONS) - 1)


async def send_again(server: ServerProcess) -> list[Any]:
    """Send every request again, and with another body; return the ids."""
    ids = []
    async with httpx.AsyncClient(base_url=server.url, timeout=SECONDS) as http:
        for creation in CREATIONS:
            answer = await creation.send(http)
            assert answer.status_code in (201, 202), answer.text
            id = answer.json()[creation.id]
            ids.append(id if isinstance(id, str) else id[0])
            conflict = await creation.send(http, body=creation.other)
            assert (conflict.status_code, conflict.json()["code"]) == (409, "idempotency-conflict")
    return ids


def stored_ids(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as db:
        found = db.execute(
            "SELECT po_id FROM po_orders UNION ALL SELECT item_id FROM sentiment_items"
            " UNION ALL SELECT id FROM tasks WHERE kind <> 'purchase-order'"
        )
        return {row[0] for row in found}


async def test_a_request_sent_again_after_a_kill_gets_the_stored_resource(tmp_path: Path) -> None:
    path = tmp_path / "streamd.db"
    store = ("--store", f"sqlite:{path}")
    async with server_process(*APP, *store, seconds=SECONDS) as server:
        await send_without_an_answer(server)
    before = stored_ids(path)
    assert len(before) == len(CREATIONS)
    for _ in range(2):
        async with server_process(*APP, *store, seconds=SECONDS) as server:
            assert set(await send_again(server)) == before
            server.program.process.kill()
            await server.program.ended()
        assert stored_ids(path) == before
