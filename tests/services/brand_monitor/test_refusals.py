"""Refusals of the brand monitor, over real sockets: each answer names the invalid field."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
import trio

from streamd.app import create_app
from streamd.settings import Settings
from streamd.testing import StreamRefused, open_stream
from tests.support.brand_rig import MENTIONS, PREFIX, REQUEST, Rig, rig
from tests.support.messages import data_of

URL = f"{PREFIX}/analyses"

Change = Callable[[dict[str, Any]], Any]


def problem(answer: httpx.Response) -> tuple[int, str, str | None]:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["detail"]
    return answer.status_code, body["code"], body.get("field")


async def test_invalid_requests_are_refused_with_the_field() -> None:
    bad: list[tuple[dict[str, Any], tuple[int, str, str]]] = [
        ({"brand": ""}, (400, "invalid-field", "brand")),
        ({"brand": "x" * 101}, (400, "invalid-field", "brand")),
        ({"brand": None}, (400, "invalid-body", "brand")),
        ({"competitors": ["Globex", "acme"]}, (400, "invalid-field", "competitors[1]")),
        ({"competitors": ["Globex", "GLOBEX"]}, (400, "invalid-field", "competitors[1]")),
        ({"competitors": ["a", "b", "c", "d"]}, (400, "invalid-field", "competitors")),
        ({"mentions": MENTIONS * 2}, (400, "invalid-field", "mentions")),
        ({"mentions": [*MENTIONS, {"source": "x", "time": "x"}]}, (400, "invalid-body", "mentions[4].text")),
        ({"mentions": [*MENTIONS, MENTIONS[0] | {"text": ""}]}, (400, "invalid-field", "mentions[4].text")),
        ({"mentions": [MENTIONS[0] | {"time": "soon"}]}, (400, "invalid-field", "mentions[0].time")),
        ({"mentions": [MENTIONS[0] | {"mood": 1}]}, (400, "invalid-body", "mentions[0].mood")),
        ({"Brand": "Acme"}, (400, "invalid-body", "Brand")),
        ({"taskId": ""}, (400, "invalid-field", "taskId")),
        ({"taskId": "a b"}, (400, "invalid-field", "taskId")),
        ({"taskId": "../x"}, (400, "invalid-field", "taskId")),
        ({"taskId": "é"}, (400, "invalid-field", "taskId")),
        ({"taskId": "x" * 129}, (400, "invalid-field", "taskId")),
        ({"taskId": 7}, (400, "invalid-body", "taskId")),
    ]
    async with rig(brand_monitor={"max_mentions": 7, "max_competitors": 3}) as r:
        for change, expected in bad:
            answer = await r.client.post(URL, json=REQUEST | change)
            assert problem(answer) == expected, change
        assert await r.runtime.tasks.list() == []  # no task was created
        assert await r.pending() == 0


@pytest.mark.parametrize(
    "body", [b"", b"{", b'"Acme"', b'{"brand": "\xff"}', b'{"brand": "\\ud800"}', b"[" * 100_000]
)
async def test_a_body_that_is_not_json_is_refused(body: bytes) -> None:
    async with rig() as r:
        answer = await r.client.post(URL, content=body, headers={"Content-Type": "application/json"})
        assert problem(answer)[:2] == (400, "invalid-body")


async def test_other_media_types_and_oversized_bodies_are_refused() -> None:
    async with rig(brand_monitor={"max_body_bytes": 1_000}) as r:
        for headers in ({"Content-Type": "text/plain"}, {}):
            answer = await r.client.post(URL, content=b"{}", headers=headers)
            assert problem(answer) == (415, "unsupported-media-type", "Content-Type")
        json = {"Content-Type": "application/json"}
        answer = await r.client.post(URL, content=b" " * 1_001, headers=json)
        assert problem(answer) == (413, "too-large", "body")

        async def pieces() -> Any:
            for _ in range(11):
                yield b" " * 100

        answer = await r.client.post(URL, content=pieces(), headers=json)  # without Content-Length
        assert problem(answer) == (413, "too-large", "body")


async def test_a_taken_id_is_refused_and_the_first_analysis_continues() -> None:
    async with rig(hold=True) as r:
        task_id = await r.start(taskId="mine")
        assert problem(await r.client.post(URL, json=REQUEST | {"taskId": "mine"})) == (
            409,
            "task-exists",
            "taskId",
        )
        assert await r.pending() == 1  # only the first
        r.release.set()
        assert (await r.end_of(task_id))["status"] == "completed"
        taken = await r.client.post(URL, json=REQUEST | {"taskId": "mine"})
        assert problem(taken) == (409, "task-exists", "taskId")
        assert await r.pending() == 0


async def test_conrequest_or_upgrades_for_one_id_create_one_analysis() -> None:
    async with rig() as r:
        answers: list[int] = []

        async def ask() -> None:
            answers.append((await r.client.post(URL, json=REQUEST | {"taskId": "one"})).status_code)

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(ask)
        assert sorted(answers) == [202] + [409] * 9
        assert (await r.end_of("one"))["status"] == "completed"
        assert await r.pending() == 0


async def everything_of(r: Rig, task_id: str) -> list[tuple[int, str | None]]:
    """Return the answers of all routes of an analysis: stream, HEAD, result, cancel."""
    try:
        async with open_stream(r.url, path=f"{PREFIX}/progress/{task_id}"):
            followed = 200
    except StreamRefused as refused:
        followed = refused.status
    looked = await r.client.head(f"{PREFIX}/progress/{task_id}")
    assert looked.content == b""
    fetched = await r.client.get(f"{PREFIX}/analyses/{task_id}")
    cancelled = await r.client.post(f"{PREFIX}/analyses/{task_id}/cancel")
    codes = [answer.json().get("code") for answer in (fetched, cancelled)]
    return [
        (followed, None),
        (looked.status_code, None),
        (fetched.status_code, codes[0]),
        (cancelled.status_code, codes[1]),
    ]


async def test_unknown_ids_and_other_kinds_are_404() -> None:
    async with rig(hold=True) as r:
        [other] = await r.runtime.tasks.list()
        unknown = [(404, None), (404, None), (404, "not-found"), (404, "not-found")]
        for task_id in ("nobody", other.id, "x" * 300):
            assert await everything_of(r, task_id) == unknown
        assert not (await r.runtime.tasks.get(other.id)).status.ended


async def test_head_returns_status_progress_and_version_without_a_stream() -> None:
    async with rig(hold=True) as r:
        task_id = await r.start()
        url = f"{PREFIX}/progress/{task_id}"
        before = await r.client.head(url)
        assert before.status_code == 200
        assert (before.headers["Task-Status"], before.headers["Task-Progress"]) == ("pending", "0")
        assert (await r.client.head(url)).headers["ETag"] == before.headers["ETag"]
        assert before.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert (await r.health())["totalConnections"] == 0
        r.release.set()
        await r.follow(task_id)
        after = await r.client.head(url)
        assert (after.headers["Task-Status"], after.headers["Task-Progress"]) == ("completed", "100")
        assert after.headers["ETag"] != before.headers["ETag"]
        assert (await r.health())["totalConnections"] == 1


async def test_an_unfinished_result_is_409_with_retry_after() -> None:
    async with rig(hold=True) as r:
        task_id = await r.start()
        answer = await r.client.get(f"{PREFIX}/analyses/{task_id}")
        assert problem(answer)[:2] == (409, "not-ready")
        assert int(answer.headers["Retry-After"]) >= 1


async def test_cancelling_a_pending_analysis_sends_an_error_to_followers() -> None:
    async with rig(hold=True) as r:
        task_id = await r.start()
        async with open_stream(r.url, path=f"{PREFIX}/progress/{task_id}") as stream:
            await stream.next_event()
            assert (await r.client.post(f"{URL}/{task_id}/cancel")).status_code == 200
            event = await stream.next_event()
            assert event is not None
            assert (event.type, data_of(event)["code"]) == ("error", "cancelled")
            assert await stream.next_event() is None


async def test_too_many_analyses_get_503_with_retry_after() -> None:
    async with rig(hold=True, tasks={"max_per_kind": 2}) as r:
        for _ in range(2):
            await r.start()
        answer = await r.client.post(URL, json=REQUEST)
        assert problem(answer)[:2] == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
        assert await r.pending() == 2


async def test_the_service_can_be_disabled() -> None:
    async with rig(brand_monitor={"enabled": False}) as r:
        assert (await r.client.get(f"{PREFIX}/health")).status_code == 404


async def test_openapi_lists_every_path() -> None:
    paths = {rule.rule for rule in create_app(Settings()).url_map.iter_rules()}
    async with rig() as r:
        described = (await r.client.get("/openapi.json")).json()["paths"]
    ours = {path.replace("<", "{").replace(">", "}") for path in paths if path.startswith(PREFIX)}
    assert len(ours) == 6
    assert ours <= set(described)
    schema = described[f"{PREFIX}/analyses"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "$ref" in schema or set(schema["properties"]) >= {"brand", "mentions", "competitors", "taskId"}
