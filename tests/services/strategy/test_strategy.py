"""``/api/strategy`` over real sockets with the embedded rules, from the profile to the result."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psutil
import pytest
import structlog.testing

from streamd.services.strategy.catalogue import SECTIONS
from streamd.testing import StreamRefused
from tests.support.messages import STANDARD_FIELDS, messages
from tests.support.strategy_rig import PROFILE, serving

NAMES = [section.name for section in SECTIONS]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the log of intended failures off the terminal."""
    with structlog.testing.capture_logs():
        yield


async def test_stream_and_result_agree() -> None:
    async with serving() as service:
        strategy = await service.create()
        assert set(strategy) >= {"strategyId", "statusUrl", "eventsUrl", "resultUrl", "cancelUrl", "deadline"}
        events = await service.read_all(strategy)
        result = (await service.http.get(strategy["resultUrl"])).json()

    first, last = events[0], events[-1]
    assert first.type == "status"
    assert first.data["snapshot"] is True
    assert first.data["deadline"] == strategy["deadline"]
    assert last.type == "complete"
    assert last.data["result"] == result
    assert last.data["progress"] == 100
    assert last.data["message"] == "The strategy is complete"
    # All messages are standard ones; progress never decreases, and no version repeats.
    for one in events:
        assert set(one.data) >= STANDARD_FIELDS
        assert one.data["taskId"] == strategy["strategyId"]
        assert one.data["steps"] == len(NAMES)
        assert one.data["step_name"] == (NAMES[one.data["step"] - 1] if one.data["step"] else "")
    versions = [one.data["version"] for one in events]
    assert versions == list(range(versions[0], versions[0] + len(events)))
    progress = [one.data["progress"] for one in events]
    assert progress == sorted(progress)
    # The streamed text is the text of the result.
    streamed = first.data["text"] + "".join(one.data.get("text_delta", "") for one in events)
    assert streamed == result["text"]
    assert [section["name"] for section in result["sections"]] == NAMES
    for section in result["sections"]:
        assert f"## {section['title']}\n\n{section['text']}" in result["text"]
    assert result["profile"] == PROFILE
    assert result["generator"] == "rules"
    cents = [round(100 * one["amount"]) for one in result["budget"]["by_channel"]]
    assert sum(cents) == 1_250_050


async def test_educational_content_is_published_between_steps() -> None:
    async with serving() as service:
        strategy = await service.create()
        async with service.follow(strategy) as reader:
            events = [one async for one in messages(reader)]
    order = [
        (one.type, one.data["step_name"])
        for one in events[1:]
        if one.type == "educational" or one.data.get("step_status") == "completed"
    ]
    # A late subscriber has the first of them in its snapshot.
    everything = [(type, name) for name in NAMES for type in ("progress", "educational")][:-1]
    assert order == everything[len(everything) - len(order) :]
    pieces = [one.data["educational_content"] for one in events if one.type == "educational"]
    assert all(piece["title"] and piece["text"] for piece in pieces)


async def test_deadline_is_announced_at_creation() -> None:
    async with serving() as service:
        strategy = await service.create()
        status = await service.wait_for_end(strategy)
    created = datetime.fromisoformat(status["created_at"])
    assert (datetime.fromisoformat(strategy["deadline"]) - created).total_seconds() == 300
    assert status["deadline"] == strategy["deadline"]


async def test_same_profile_gives_the_same_strategy() -> None:
    async with serving() as service:
        texts = []
        for _ in range(2):
            strategy = await service.create()
            await service.wait_for_end(strategy)
            texts.append((await service.http.get(strategy["resultUrl"])).json()["text"])
    assert texts[0] == texts[1]


@pytest.mark.parametrize("endpoint", ["status", "events", "result", "cancel"])
async def test_unknown_strategy_is_not_found(endpoint: str) -> None:
    async with serving() as service:
        # A task of another kind is not a strategy.
        other = await service.http.post("/tasks", json={"kind": "other", "id": "other"})
        assert other.status_code == 201
        for name in ("none", "other"):
            method = "POST" if endpoint == "cancel" else "GET"
            answer = await service.http.request(method, f"/api/strategy/{name}/{endpoint}")
            assert answer.status_code == 404
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == "not-found"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"business": ""}, "business"),
        ({"audience": 7}, "audience"),
        ({"goals": []}, "goals"),
        ({"goals": ["x"] * 2}, "goals[1]"),
        ({"channels": ["x" * 2001]}, "channels[0]"),
        ({"budget": -1}, "budget"),
        ({"budget": {"amount": 1, "currency": "?"}}, "budget.currency"),
    ],
)
async def test_invalid_profile_is_refused_with_its_field(changes: dict[str, Any], field: str) -> None:
    async with serving() as service:
        answer = await service.http.post("/api/strategy", json={**PROFILE, **changes})
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["field"] == field


async def test_invalid_bodies_are_refused() -> None:
    async with serving(max_body_bytes=500) as service:
        post = service.http.post
        assert (await post("/api/strategy", content=b"{}")).status_code == 415
        json = {"Content-Type": "application/json"}
        assert (await post("/api/strategy", content=b"{", headers=json)).status_code == 400
        assert (await post("/api/strategy", content=b"[]", headers=json)).status_code == 400
        missing = await post("/api/strategy", content=b"{}", headers=json)
        assert (missing.status_code, missing.json()["field"]) == (400, "business")
        assert (await post("/api/strategy", json={**PROFILE, "business": "x" * 500})).status_code == 413


async def test_ended_strategy_cannot_be_cancelled_and_ends_reconnects() -> None:
    async with serving() as service:
        strategy = await service.create()
        events = await service.read_all(strategy)
        answer = await service.http.post(strategy["cancelUrl"])
        assert (answer.status_code, answer.json()["code"]) == (409, "invalid-transition")
        with pytest.raises(StreamRefused) as refused:
            await service.read_all(strategy, last_event_id=events[-1].id)
        assert refused.value.status == 204
        # A late subscriber gets everything at once.
        late = await service.read_all(strategy)
        assert [one.type for one in late] == ["status", "complete"]
        assert late[0].data["text"] == late[1].data["result"]["text"]


async def test_disabled_service_is_not_found() -> None:
    async with serving(enabled=False) as service:
        assert (await service.http.post("/api/strategy", json=PROFILE)).status_code == 404


async def test_endpoints_are_in_the_openapi_document() -> None:
    async with serving() as service:
        paths = (await service.http.get("/openapi.json")).json()["paths"]
    accepted = paths["/api/strategy"]["post"]["responses"]
    assert set(accepted) >= {"202", "400", "413", "415"}
    for endpoint in ("status", "events", "result", "cancel"):
        [[operation]] = [
            list(paths[path].values())
            for path in paths
            if path.endswith(f"/api/strategy/{{strategyId}}/{endpoint}")
        ]
        assert "404" in operation["responses"]


async def test_a_large_profile_is_planned_in_a_worker_process() -> None:
    def processes() -> set[int]:
        return {child.pid for child in psutil.Process().children(recursive=True)}

    goals = [f"{number}: win {number}00 orders within 6 months, " + "x" * 900 for number in range(1, 19)]
    async with serving() as service:
        before = processes()
        await service.wait_for_end(await service.create())
        assert processes() <= before
        strategy = await service.create(goals=goals)
        assert (await service.wait_for_end(strategy))["status"] == "completed"
        assert processes() - before
        result = (await service.http.get(strategy["resultUrl"])).json()
    assert {measure["goal"] for measure in result["measures"]} == set(goals)
    cents = [round(100 * one["amount"]) for one in result["budget"]["by_goal"]]
    assert sum(cents) == 1_250_050
