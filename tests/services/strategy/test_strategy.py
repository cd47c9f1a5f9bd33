"""``/api/strategy`` over real sockets, by the embedded rules: from the profile to the result."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import structlog.testing

from streamd.services.strategy.sections import NAMES
from streamd.testing.reader import StreamRefused
from tests.support.strategy_rig import PROFILE, STANDARD, read, serving


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Failures on purpose need no lines on the terminal."""
    with structlog.testing.capture_logs():
        yield


async def test_from_the_profile_to_the_result() -> None:
    async with serving() as service:
        strategy = await service.create()
        assert set(strategy) >= {"strategyId", "statusUrl", "eventsUrl", "resultUrl", "cancelUrl", "deadline"}
        said = await service.read_all(strategy)
        result = (await service.http.get(strategy["resultUrl"])).json()

    first, last = said[0], said[-1]
    assert first.type == "status"
    assert first.data["snapshot"] is True
    assert first.data["deadline"] == strategy["deadline"]
    assert last.type == "complete"
    assert last.data["result"] == result
    assert last.data["progress"] == 100
    # every message is a standard one, and nothing falls or comes twice
    for one in said:
        assert set(one.data) >= STANDARD
        assert one.data["taskId"] == strategy["strategyId"]
        assert one.data["step"] == one.data["stage"]
    versions = [one.data["version"] for one in said]
    assert versions == list(range(versions[0], versions[0] + len(said)))
    progress = [one.data["progress"] for one in said]
    assert progress == sorted(progress)
    # the text that streamed is the text of the result
    streamed = first.data["text"] + "".join(one.data.get("text_delta", "") for one in said)
    assert streamed == result["text"]
    assert [section["name"] for section in result["sections"]] == list(NAMES)
    for section in result["sections"]:
        assert f"## {section['title']}\n\n{section['text']}" in result["text"]
    assert result["profile"] == PROFILE
    assert result["generator"] == "rules"
    cents = [round(100 * one["amount"]) for one in result["budget"]["by_channel"]]
    assert sum(cents) == 1_250_050


async def test_educational_content_comes_between_the_steps() -> None:
    async with serving() as service:
        strategy = await service.create()
        async with service.follow(strategy) as reader:
            said = [one async for one in read(reader)]
    order = [
        (one.type, one.data["step"])
        for one in said[1:]
        if one.type == "educational" or one.data.get("step_status") == "completed"
    ]
    # A stream that began late has the first of it in its snapshot.
    everything = [(type, name) for name in NAMES for type in ("progress", "educational")][:-1]
    assert order == everything[len(everything) - len(order) :]
    pieces = [one.data["educational_content"] for one in said if one.type == "educational"]
    assert all(piece["title"] and piece["text"] for piece in pieces)


async def test_deadline_is_said_beforehand() -> None:
    async with serving() as service:
        strategy = await service.create()
        status = await service.wait_for_end(strategy)
    asked = datetime.fromisoformat(status["created_at"])
    assert (datetime.fromisoformat(strategy["deadline"]) - asked).total_seconds() == 300
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
async def test_unknown_strategies(endpoint: str) -> None:
    async with serving() as service:
        # a task of another kind is no strategy
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
async def test_profiles_that_are_refused(changes: dict[str, Any], field: str) -> None:
    async with serving() as service:
        answer = await service.http.post("/api/strategy", json={**PROFILE, **changes})
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["field"] == field


async def test_bodies_that_are_refused() -> None:
    async with serving(max_body_bytes=500) as service:
        post = service.http.post
        assert (await post("/api/strategy", content=b"{}")).status_code == 415
        json = {"Content-Type": "application/json"}
        assert (await post("/api/strategy", content=b"{", headers=json)).status_code == 400
        assert (await post("/api/strategy", content=b"[]", headers=json)).status_code == 400
        missing = await post("/api/strategy", content=b"{}", headers=json)
        assert (missing.status_code, missing.json()["field"]) == (400, "business")
        assert (await post("/api/strategy", json={**PROFILE, "business": "x" * 500})).status_code == 413


async def test_what_has_ended_cannot_be_cancelled_and_a_reconnect_is_told_to_stop() -> None:
    async with serving() as service:
        strategy = await service.create()
        said = await service.read_all(strategy)
        answer = await service.http.post(strategy["cancelUrl"])
        assert (answer.status_code, answer.json()["code"]) == (409, "invalid-transition")
        with pytest.raises(StreamRefused) as refused:
            await service.read_all(strategy, last_event_id=said[-1].id)
        assert refused.value.status == 204
        # Who comes late has all of it at once.
        late = await service.read_all(strategy)
        assert [one.type for one in late] == ["status", "complete"]
        assert late[0].data["text"] == late[1].data["result"]["text"]


async def test_switched_off_it_is_not_there() -> None:
    async with serving(enabled=False) as service:
        assert (await service.http.post("/api/strategy", json=PROFILE)).status_code == 404


async def test_views_are_in_the_document() -> None:
    async with serving() as service:
        paths = (await service.http.get("/openapi.json")).json()["paths"]
    accepted = paths["/api/strategy"]["post"]["responses"]
    assert set(accepted) >= {"202", "400", "413", "415"}
    for endpoint in ("status", "events", "result", "cancel"):
        [[operation]] = [
            list(paths[path].values())
            for path in paths
            if path.endswith(f"/api/strategy/{{strategy_id}}/{endpoint}")
        ]
        assert "404" in operation["responses"]
