"""Every place that takes an identifier, over HTTP: the same texts are valid in all of them."""

from collections.abc import Callable
from typing import Any

import attrs
import httpx
import pytest

from streamd.database import StoreSettings
from streamd.settings import Settings
from streamd.testing import run_server
from tests.support.odd_texts import INVALID_IDENTIFIERS, VALID_IDENTIFIERS
from tests.support.research_rig import REQUEST as RESEARCH
from tests.support.strategy_rig import PROFILE

MENTION = {"text": "Acme is great", "source": "blog", "time": "2026-03-01T09:30:00Z"}
ANALYSIS = {"brand": "Acme", "mentions": [MENTION]}
ITEM = {"ticker": "ACME", "text": "Good."}
LINE = {"sku": "MUG-1", "quantity": 1}


@attrs.frozen
class Door:
    """A field of a request that takes an identifier.

    ``collapses`` is true where white space is collapsed first, so that some invalid texts become valid.
    """

    path: str
    field: str
    body: Callable[[str], Any]
    status: int = 202
    query: Callable[[str], dict[str, str]] = lambda text: {}
    collapses: bool = False
    needs_letter: bool = False


DOORS = [
    Door("/events", "topic", lambda text: {"topic": text}, 201),
    Door("/events", "topics", lambda text: {"topics": ["a", text]}, 201),
    Door("/events", "type", lambda text: {"topic": "a", "type": text}, 201),
    Door("/events", "idempotency_key", lambda text: {"topic": "a", "idempotency_key": text}, 201),
    Door("/tasks", "owner", lambda text: {"kind": "import", "owner": text}, 201),
    Door("/tasks", "worker", lambda text: {"kind": "import", "worker": text}, 201),
    Door("/tasks", "steps[0].name", lambda text: {"kind": "import", "steps": [{"name": text}]}, 201),
    Door("/tasks/claim", "worker", lambda text: {"kinds": ["none"], "worker": text}, 204),
    Door("/api/v2/items", "items[0].item_id", lambda text: {"items": [ITEM | {"item_id": text}]}),
    Door("/api/brand-monitor/analyses", "brand", lambda text: ANALYSIS | {"brand": text}, needs_letter=True),
    Door(
        "/api/brand-monitor/analyses",
        "mentions[0].source",
        lambda text: ANALYSIS | {"mentions": [MENTION | {"source": text}]},
    ),
    Door("/research/stream", "userCompany", lambda text: RESEARCH | {"userCompany": text}),
    Door(
        "/api/purchase-orders",
        "merchantId",
        lambda text: {"lines": [LINE]},
        query=lambda text: {"merchantId": text},
    ),
    Door(
        "/api/purchase-orders",
        "lines[0].sku",
        lambda text: {"lines": [LINE | {"sku": text}]},
        query=lambda text: {"merchantId": "shop"},
        collapses=True,
    ),
]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: f"{door.path} {door.field}")
async def test_an_identifier_is_any_line_without_controls_and_overrides(door: Door, store_url: str) -> None:
    settings = Settings(store=StoreSettings(url=store_url))
    async with run_server(settings) as server, httpx.AsyncClient(base_url=server.url) as client:

        async def send(text: str) -> httpx.Response:
            return await client.post(door.path, json=door.body(text), params=door.query(text))

        for text in VALID_IDENTIFIERS:
            if not door.needs_letter or any(character.isalnum() for character in text):
                answer = await send(text)
                assert answer.status_code == door.status, (text, answer.text)
        for text in INVALID_IDENTIFIERS:
            if door.collapses and " ".join(text.split()) != text:
                continue
            answer = await send(text)
            problem = answer.json()
            assert (answer.status_code, problem["field"]) == (400, door.field), text
            assert problem["detail"].startswith(f"{door.field} must be printable text")


async def test_followers_receive_topics_types_and_client_ids_as_they_are(store_url: str) -> None:
    settings = Settings(store=StoreSettings(url=store_url))
    async with run_server(settings) as server, httpx.AsyncClient(base_url=server.url) as client:
        for text in VALID_IDENTIFIERS:
            topic = f"odd/{text}"
            event = {"topic": topic, "type": text, "data": text}
            assert (await client.post("/events", json=event)).status_code == 201
            for selector in ({"topic": topic}, {"pattern": "odd/*"}):
                query = selector | {"after": "earliest", "wait": "0", "client_id": text}
                answer = await client.get("/events/poll", params=query)
                assert answer.status_code == 200, answer.text
                [*_, received] = answer.json()["events"]
                assert (received["topics"], received["type"], received["data"]) == ([topic], text, text)
        for text in INVALID_IDENTIFIERS:
            for field in ("topic", "pattern", "client_id"):
                answer = await client.get("/events/poll", params={"topic": "a", "wait": "0", field: text})
                assert (answer.status_code, answer.json()["field"]) == (400, field)


async def test_prose_may_have_bidirectional_controls_and_lines_where_it_makes_sense(store_url: str) -> None:
    settings = Settings(store=StoreSettings(url=store_url))
    async with run_server(settings) as server, httpx.AsyncClient(base_url=server.url) as client:
        text = "\u2067می\u200cخواهم\u2069\nsecond line"
        order = {"lines": [LINE | {"description": text}], "note": text}
        for path, body in (
            ("/api/v2/items", {"items": [ITEM | {"text": text}]}),
            ("/api/brand-monitor/analyses", ANALYSIS | {"mentions": [MENTION | {"text": text}]}),
            ("/api/strategy", PROFILE | {"business": text}),
            ("/api/purchase-orders?merchantId=shop", order),
        ):
            answer = await client.post(path, json=body)
            assert answer.status_code == 202, answer.text
            refused = await client.post(path, json=replace_text(body, text, "a\x1b[1m"))
            assert (refused.status_code, refused.json()["code"]) == (400, "invalid-field"), path


def replace_text(value: Any, old: str, new: str) -> Any:
    """Return a JSON value with one of its texts replaced everywhere."""
    if isinstance(value, dict):
        return {name: replace_text(inner, old, new) for name, inner in value.items()}
    if isinstance(value, list):
        return [replace_text(inner, old, new) for inner in value]
    return new if value == old else value
