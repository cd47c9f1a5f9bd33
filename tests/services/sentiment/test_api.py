"""The sentiment dashboard's requests and answers, over real sockets."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import attrs
import httpx
import trio

from streamd.database import StoreSettings
from streamd.services.sentiment.settings import SentimentSettings
from streamd.settings import Settings
from streamd.testing import run_server
from tests.support.api import check_problem
from tests.support.at_once import post_at_once

SETTINGS = SentimentSettings(max_items_per_request=20, max_body_bytes=4000, max_text_chars=500)
NOTHING = {
    "total": 0,
    "positive": 0,
    "neutral": 0,
    "negative": 0,
    "by_tag": {},
    "rate_last_hour": 0,
    "rate_last_24h": 0,
}
ITEM = {"ticker": "AAPL", "text": "A great success!"}
KEY = {"Idempotency-Key": "k"}


@attrs.frozen
class Api:
    """A client of a running server."""

    http: httpx.AsyncClient
    database: Any

    async def post(self, *items: Any) -> httpx.Response:
        return await self.http.post("/api/v2/items", json={"items": items})

    async def metrics(self) -> dict[str, Any]:
        answer = await self.http.get("/api/v2/metrics")
        assert answer.status_code == 200
        found: dict[str, Any] = answer.json()
        return found

    async def stored(self) -> int:
        def count(connection: apsw.Connection) -> int:
            return int(connection.execute("SELECT count(*) FROM sentiment_items").get)

        found: int = await self.database.read(count)
        return found


@asynccontextmanager
async def serving(settings: SentimentSettings = SETTINGS, store: str = "memory:") -> AsyncIterator[Api]:
    async with run_server(Settings(sentiment=settings, store=StoreSettings(url=store))) as server:
        async with httpx.AsyncClient(base_url=server.url) as client:
            yield Api(client, server.streamd.runtime.database)


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


async def test_items_are_taken_scored_and_counted() -> None:
    async with serving() as api:
        assert await api.metrics() == NOTHING
        answer = await api.post(
            ITEM,
            {"ticker": "tsla", "text": "A terrible failure.", "item_id": "mine"},
            {"ticker": "TSLA", "text": "x", "score": 0.01, "timestamp": ago(minutes=59)},
            {"ticker": "TSLA", "text": "x", "sentiment": "negative", "timestamp": ago(hours=23, minutes=59)},
            {"ticker": "MSFT", "text": "x", "score": -0.3, "timestamp": ago(hours=24, milliseconds=1)},
        )
        assert answer.status_code == 202
        assert answer.headers["cache-control"] == "no-store"
        body = answer.json()
        assert body["accepted"] == len(body["item_ids"]) == 5
        assert body["item_ids"][1] == "mine"
        assert body["outside_window"] == body["item_ids"][4:]
        metrics = await api.metrics()
        assert type(metrics["rate_last_hour"]) is type(metrics["rate_last_24h"]) is int
        assert metrics == {
            "total": 4,
            "positive": 1,
            "neutral": 1,
            "negative": 2,
            "by_tag": {"AAPL": 1, "TSLA": 3},
            "rate_last_hour": 3,
            "rate_last_24h": 4,
        }


async def test_a_known_item_id_is_acknowledged_and_changes_nothing() -> None:
    async with serving() as api:
        items = [ITEM | {"item_id": id} for id in ("a", "b", "a")]
        assert (await api.post(*items)).json() == {"accepted": 2, "item_ids": ["a", "b", "a"]}
        before = await api.metrics()
        again = await api.post(*items)
        assert again.status_code == 202
        assert again.json() == {"accepted": 0, "item_ids": ["a", "b", "a"]}
        assert await api.metrics() == before
        assert await api.stored() == 2


async def test_items_outside_the_window_are_reported(store_url: str) -> None:
    day = {"hours": 24, "milliseconds": 1}
    async with serving(store=store_url) as api:
        old = ITEM | {"item_id": "old", "timestamp": ago(**day)}
        new = ITEM | {"item_id": "new", "timestamp": ago(hours=23)}
        reported = {"accepted": 2, "item_ids": ["old", "new", "old"], "outside_window": ["old"]}
        assert (await api.post(old, new, old)).json() == reported
        assert await api.stored() == 2
        assert (await api.metrics())["total"] == 1
        assert (await api.post(old, new, old)).json() == reported | {"accepted": 0}
        # The report is about the stored items: a known id changes nothing, its timestamp included.
        swapped = [old | {"timestamp": ago()}, new | {"timestamp": ago(days=2)}]
        assert (await api.post(*swapped)).json() == {
            "accepted": 0,
            "item_ids": ["old", "new"],
            "outside_window": ["old"],
        }
        assert (await api.metrics())["total"] == 1
        assert (await api.post(ITEM | {"item_id": "now"})).json() == {"accepted": 1, "item_ids": ["now"]}


async def test_contradictions_and_invalid_texts_are_refused_on_both_stores(store_url: str) -> None:
    async with serving(store=store_url) as api:
        answer = await api.post(ITEM, ITEM | {"sentiment": "Negative", "score": 0.9})
        told = answer.json()
        assert (answer.status_code, told["field"]) == (400, "items[1].sentiment")
        assert "items[1].score" in told["detail"]
        for field in ("text", "item_id"):
            answer = await api.post(ITEM, ITEM | {field: "a\x1b[1m"})
            assert (answer.status_code, answer.json()["field"]) == (400, f"items[1].{field}")
        assert await api.stored() == 0
        answer = await api.post(ITEM | {"item_id": "می\u200cخواهم", "sentiment": "POSITIVE", "score": 0.9})
        assert answer.json() == {"accepted": 1, "item_ids": ["می\u200cخواهم"]}
        assert (await api.metrics())["positive"] == 1


async def test_an_unchanged_metrics_poll_gets_304() -> None:
    async with serving() as api:
        first = await api.http.get("/api/v2/metrics")
        assert first.headers["cache-control"] == "no-cache"
        known = {"If-None-Match": first.headers["etag"]}
        unchanged = await api.http.get("/api/v2/metrics", headers=known)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        await api.post(ITEM)
        changed = await api.http.get("/api/v2/metrics", headers=known)
        assert (changed.status_code, changed.json()["total"]) == (200, 1)
        assert changed.headers["etag"] != first.headers["etag"]


WRONG_ITEMS: list[tuple[dict[str, Any], int, str]] = [
    ({"text": "no ticker"}, 400, "ticker"),
    ({"ticker": "AAPL"}, 400, "text"),
    (ITEM | {"ticker": "not one"}, 400, "ticker"),
    (ITEM | {"text": "x" * 501}, 413, "text"),
    (ITEM | {"sentiment": "splendid"}, 400, "sentiment"),
    (ITEM | {"score": 1.5}, 400, "score"),
    (ITEM | {"score": float("nan")}, 400, "score"),
    (ITEM | {"timestamp": "lately"}, 400, "timestamp"),
    (ITEM | {"timestamp": ago(days=-1)}, 400, "timestamp"),  # far enough in the future for a slow test run
    (ITEM | {"item_id": ""}, 400, "item_id"),
    (ITEM | {"mood": 1}, 400, "mood"),
]


async def test_one_invalid_item_refuses_the_request_and_is_named() -> None:
    async with serving() as api:
        for wrong, status, field in WRONG_ITEMS:
            body = json.dumps({"items": [ITEM, ITEM, wrong]})  # httpx refuses to encode a NaN
            answer = await api.http.post(
                "/api/v2/items", content=body, headers={"Content-Type": "application/json"}
            )
            told = answer.json()
            assert (answer.status_code, told.get("field")) == (status, f"items[2].{field}"), wrong
            assert answer.headers["content-type"] == "application/problem+json"
            assert await api.metrics() == NOTHING
            assert await api.stored() == 0


WRONG_BODIES: list[tuple[str, str | None, int, str | None]] = [
    (json.dumps({"items": [ITEM] * 21}), "application/json", 413, "items"),
    (json.dumps({"items": [ITEM]}) + " " * 4000, "application/json", 413, "body"),
    (json.dumps({"items": []}), "application/json", 400, "items"),
    (json.dumps({"item": [ITEM]}), "application/json", 400, "item"),
    (json.dumps({"items": [ITEM]}), "text/plain", 415, "Content-Type"),
    (json.dumps({"items": [ITEM]}), None, 415, "Content-Type"),
    ('{"items": [', "application/json", 400, None),
]


async def test_an_invalid_body_is_refused() -> None:
    async with serving() as api:
        for content, type, status, field in WRONG_BODIES:
            headers = {} if type is None else {"Content-Type": type}
            answer = await api.http.post("/api/v2/items", content=content, headers=headers)
            assert (answer.status_code, answer.json().get("field")) == (status, field), content[:50]
            assert answer.headers["content-type"] == "application/problem+json"
            assert await api.metrics() == NOTHING
            assert await api.stored() == 0


async def test_a_chunked_body_is_bounded() -> None:
    head = b"POST /api/v2/items HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    async with serving() as api:
        url = api.http.base_url
        stream = await trio.open_tcp_stream(url.host, url.port or 0)
        async with stream:
            chunk = b"fa0\r\n%b\r\n" % (b" " * 4000)
            await stream.send_all(head + b"Transfer-Encoding: chunked\r\n\r\n" + 2 * chunk)
            with trio.fail_after(20):
                answer = await stream.receive_some()
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert await api.stored() == 0


async def test_items_over_the_limit_get_503_with_retry_after() -> None:
    async with serving(attrs.evolve(SETTINGS, max_items=2)) as api:
        assert (await api.post(ITEM)).status_code == 202
        answer = await api.post(ITEM, ITEM)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["field"] == "items"
        assert await api.stored() == 1
        assert (await api.post(ITEM)).status_code == 202


async def test_a_restart_keeps_totals_and_known_ids(tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path / 'streamd.db'}"
    items = [ITEM | {"item_id": str(n), "ticker": f"T{n % 3}", "score": n / 10 - 0.5} for n in range(10)]
    async with serving(store=store) as api:
        assert (await api.post(*items)).json()["accepted"] == 10
        before = await api.metrics()
        assert before["total"] == 10
    async with serving(store=store) as api:
        assert await api.metrics() == before
        assert (await api.post(*items)).json()["accepted"] == 0
        assert await api.metrics() == before


async def test_stream_status_without_streams() -> None:
    async with serving() as api:
        status = (await api.http.get("/api/v2/stream/status")).json()
        assert status.pop("uptime_seconds") >= 0
        assert status == {"connections": 0, "max_connections": 100}


async def test_openapi_lists_the_routes_and_types_of_counts() -> None:
    async with serving() as api:
        described = (await api.http.get("/openapi.json")).json()
        paths = described["paths"]
        metrics = described["components"]["schemas"]["SentimentMetrics"]["properties"]
        assert metrics["rate_last_hour"]["type"] == metrics["rate_last_24h"]["type"] == "integer"
        assert {path for path in paths if path.startswith("/api/v2")} == {
            "/api/v2/stream",
            "/api/v2/stream/poll",
            "/api/v2/stream/status",
            "/api/v2/metrics",
            "/api/v2/items",
        }


async def test_items_sent_again_under_their_key_change_nothing(store_url: str) -> None:
    items = {"items": [ITEM, ITEM, ITEM | {"item_id": "mine", "timestamp": ago(hours=25)}]}
    async with serving(store=store_url) as api:
        first = await api.http.post("/api/v2/items", json=items, headers=KEY)
        again = await api.http.post("/api/v2/items", json=items, headers=KEY)
        assert (first.status_code, again.status_code) == (202, 202)
        assert again.json() == first.json()
        assert (first.json()["accepted"], first.json()["outside_window"]) == (3, ["mine"])
        other = await api.http.post("/api/v2/items", json={"items": [ITEM]}, headers=KEY)
        check_problem(other, 409, "idempotency-conflict", "Idempotency-Key")
        assert await api.stored() == 3


async def test_rejected_items_use_up_no_key(store_url: str) -> None:
    async with serving(store=store_url) as api:
        for body, headers in (({"items": []}, KEY), ({"items": [ITEM]}, {"Idempotency-Key": "a b"})):
            assert (await api.http.post("/api/v2/items", json=body, headers=headers)).status_code == 400
        assert await api.stored() == 0
        answer = await api.http.post("/api/v2/items", json={"items": [ITEM]}, headers=KEY)
        assert answer.json()["accepted"] == 1


async def test_items_at_the_same_moment_under_one_key_are_stored_once(store_url: str) -> None:
    headers = {"Content-Type": "application/json", **KEY}
    body = json.dumps({"items": [ITEM]}).encode()
    async with serving(store=store_url) as api:
        answers = await post_at_once(str(api.http.base_url), "/api/v2/items", body, headers, times=3)
        assert [status for status, _ in answers] == [202] * 3
        assert answers[0] == answers[1] == answers[2]
        assert await api.stored() == 1
