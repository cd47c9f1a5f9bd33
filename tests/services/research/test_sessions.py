"""Research over real sockets, from the start of a session to its result."""

from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import structlog.testing
import trio

from streamd.config import content_file
from streamd.database import StoreSettings
from streamd.services.research.configuration import load_areas
from streamd.services.research.settings import ResearchSettings
from streamd.testing import RunningServer, StreamRefused, open_stream
from tests.support.fake_server import fake_server, respond
from tests.support.messages import StreamMessage, parse
from tests.support.research_rig import (
    BEGUN,
    REQUEST,
    SessionClient,
    new_gate,
    rig_settings,
    running,
    start,
)

AREAS = list(load_areas(content_file("research.toml"), ResearchSettings(), {}))
COMPANIES = [
    "aldermoor-analytics",
    "brightquay-software",
    "corvane-cloud",
    "dunmere-logistics",
    "eastholt-freight",
    "ferrowick-cargo",
]


@pytest.fixture
async def client(streamd_server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=streamd_server.url, trust_env=False) as client:
        yield client


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[tuple[RunningServer, httpx.AsyncClient]]:
    """Run a server with the areas of the rig."""
    with structlog.testing.capture_logs():
        async with running(rig_settings(tmp_path)) as rig:
            yield rig


# --- the default areas --------------------------------------------------------------------------


async def test_stream_status_and_result_agree(
    streamd_server: RunningServer, client: httpx.AsyncClient
) -> None:
    answer = await client.post("/research/stream", json=REQUEST)
    assert answer.status_code == 202
    started = answer.json()
    id = started.pop("researchSessionId")
    assert started == {
        "status": "initiated",
        "eventsUrl": f"/research/stream/{id}/events",
        "statusUrl": f"/research/stream/{id}/status",
        "resultUrl": f"/research/stream/{id}/result",
    }
    assert answer.headers["location"] == started["statusUrl"]
    session = SessionClient(streamd_server, client, id, started)
    messages = await session.follow()
    assert messages[0].type == "status"
    assert messages[0].data["snapshot"] is True
    assert {message.type for message in messages[1:-1]} <= {"status", "progress"}
    end = messages[-1]
    assert (end.type, end.data["status"], end.data["progress"]) == ("complete", "completed", 100)
    result = (await session.get("result")).json()
    assert end.data["result"] == result
    datasets = ["profile", "people", "contact_completeness", "hiring_trend"]
    assert [finding["dataset"] for finding in result["findings"]] == datasets
    assert result["findings"][0]["data"]["name"] == "Corvane Cloud"
    assert result["findings"][0]["source"] == {"kind": "file", "name": "Company profile"}
    assert result["findings"][3]["source"] == {"kind": "function", "name": result["findings"][3]["title"]}
    assert all(finding["time"].endswith("Z") for finding in result["findings"])
    assert "As Head of Sales at Eastholt Freight, begin with Jan Oelschner" in str(result["recommendations"])
    status = await session.status()
    assert {name: status[name] for name in REQUEST} == REQUEST
    assert status["datasets"] == datasets
    assert status["status"] == "completed"
    assert status["progress"] == 100
    assert status["startTime"] <= status["endTime"] <= status["deadline"]
    assert [step["completed"] for step in status["steps"]] == [True] * 4
    assert {step["status"] for step in status["steps"]} == {"completed"}


async def test_every_default_area_works_for_every_default_company(
    streamd_server: RunningServer, client: httpx.AsyncClient
) -> None:
    for area, company in product(AREAS, COMPANIES):
        session = await start(streamd_server, client, areaId=area, companyId=company)
        result = await session.result()
        assert result["insights"], f"{area} has no insight into {company}"
        known = (await session.status())["datasets"]
        for entry in (*result["insights"], *result["recommendations"]):
            assert set(entry["datasets"]) <= set(known)
        if company == "corvane-cloud":
            assert result["missing"] == []
            assert result["recommendations"], f"{area} has no advice on {company}"
        for missing in result["missing"]:
            reason = missing["reason"]
            assert reason == f"nothing is known about {company}" or "a trend takes 6" in reason


async def test_areas_are_listed_with_their_datasets(client: httpx.AsyncClient) -> None:
    areas = (await client.get("/research/areas")).json()["areas"]
    assert len(areas) == 13
    assert areas[1] == {
        "areaId": "decision_makers",
        "title": "Decision makers",
        "datasets": ["profile", "people", "contact_completeness", "hiring_trend"],
    }


async def test_same_query_gives_the_same_result(
    streamd_server: RunningServer, client: httpx.AsyncClient
) -> None:
    one, two = [await (await start(streamd_server, client, areaId="risk")).result() for _ in range(2)]
    for result in (one, two):
        del result["researchSessionId"], result["time"]
        for finding in result["findings"]:
            del finding["time"]
    assert one == two


async def test_unknown_company_fails_the_session(
    streamd_server: RunningServer, client: httpx.AsyncClient
) -> None:
    session = await start(streamd_server, client, companyId="no-such-company")
    end = (await session.follow())[-1]
    sentence = "none of the 4 datasets gave data: nothing is known about no-such-company"
    assert (end.type, end.data["error"], end.data["code"]) == ("error", sentence, "all-datasets-failed")
    status = await session.status()
    assert (status["status"], status["error"], status["code"]) == ("failed", sentence, "all-datasets-failed")
    assert {step["error"] for step in status["steps"]} == {"nothing is known about no-such-company"}
    assert not any(step["completed"] for step in status["steps"])
    refused = await session.get("result")
    assert (refused.status_code, refused.json()["code"]) == (409, "no-result")
    assert "retry-after" not in refused.headers
    assert sentence in refused.json()["detail"]


async def test_concurrent_sessions_do_not_mix(
    streamd_server: RunningServer, client: httpx.AsyncClient
) -> None:
    results: dict[int, dict[str, Any]] = {}

    async def run(number: int) -> None:
        session = await start(
            streamd_server, client, areaId=AREAS[number % 13], companyId=COMPANIES[number % 5]
        )
        results[number] = await session.result()

    async with trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(run, number)
    for number, result in results.items():
        assert (result["areaId"], result["companyId"]) == (AREAS[number % 13], COMPANIES[number % 5])
    assert len({result["researchSessionId"] for result in results.values()}) == 40


# --- failing datasets ---------------------------------------------------------------------------


async def test_failing_dataset_fails_only_its_step(
    rig: tuple[RunningServer, httpx.AsyncClient],
) -> None:
    session = await start(*rig, areaId="partly")
    result = await session.result()
    assert [finding["dataset"] for finding in result["findings"]] == ["known"]
    assert result["findings"][0]["data"] == {"id": "corvane-cloud", "for": "Eastholt Freight"}
    assert result["missing"] == [
        {"dataset": "closed", "title": "closed", "reason": "the register is closed today"},
        {"dataset": "bug", "title": "bug", "reason": "something went wrong in its source"},
    ]
    assert result["insights"][-1]["text"].startswith("This rests on 1 of 3 datasets")
    status = await session.status()
    assert [(step["status"], step["completed"]) for step in status["steps"]] == [
        ("failed", False),
        ("completed", True),
        ("failed", False),
    ]
    assert status["steps"][0]["error"] == "the register is closed today"
    assert "secret internals" not in str([status, result, await session.follow()])


async def test_failed_session_lists_the_reasons(rig: tuple[RunningServer, httpx.AsyncClient]) -> None:
    session = await start(*rig, areaId="none")
    end = (await session.follow())[-1]
    assert end.data["error"] == (
        "none of the 2 datasets gave data: closed: the register is closed today; "
        "bug: something went wrong in its source"
    )


async def test_datasets_beyond_the_size_of_a_result_fail(tmp_path: Path) -> None:
    settings = rig_settings(tmp_path, tasks={"max_result_bytes": 150_000}, parallel_datasets=1)
    async with running(settings) as rig:
        result = await (await start(*rig, areaId="large")).result()
    assert [finding["dataset"] for finding in result["findings"]] == ["large"]
    assert "do not fit into the result" in result["missing"][0]["reason"]


async def test_dataset_is_fetched_from_an_endpoint(tmp_path: Path) -> None:
    good = respond(200, b'{"data": {"corvane-cloud": {"name": "Corvane", "industry": "software", "x": 1}}}')
    async with fake_server(respond(500), good) as server:
        more = f"""
[datasets.register]
url = "{server.url}/v1?company={{company_id}}&for={{user_company}}"
entry = ["data", "{{company_id}}"]
shape = "profile"
retry_seconds = 0.001
[areas.register]
datasets = ["register"]
"""
        async with running(rig_settings(tmp_path, more=more)) as rig:
            result = await (await start(*rig, areaId="register")).result()
    targets = [request.target for request in server.requests]
    assert targets == ["/v1?company=corvane-cloud&for=Eastholt%20Freight"] * 2
    [finding] = result["findings"]
    assert finding["data"] == {"name": "Corvane", "industry": "software", "x": 1}
    assert finding["source"] == {"kind": "http", "name": "register"}


async def test_compressed_result_on_disk_reads_the_same(tmp_path: Path) -> None:
    settings = rig_settings(tmp_path, compress_results=True)
    settings = attrs.evolve(settings, store=StoreSettings(url=f"sqlite:{tmp_path / 'tasks.db'}"))
    async with running(settings) as rig:
        session = await start(*rig, areaId="large")
        result = await session.result()
        stored = await session.server.streamd.runtime.tasks.store.result(session.id)
    assert len(result["findings"]) == 2
    assert stored is not None
    assert len(stored) < 2000


# --- following ----------------------------------------------------------------------------------


async def test_running_session_has_no_result(rig: tuple[RunningServer, httpx.AsyncClient]) -> None:
    opened = new_gate("not-yet")
    session = await start(*rig, areaId="gated", companyId="not-yet")
    await BEGUN["not-yet"].wait()
    refused = await session.get("result")
    assert (refused.status_code, refused.json()["code"]) == (409, "not-ready")
    assert int(refused.headers["retry-after"]) > 0
    status = await session.status()
    assert status["status"] == "in_progress"
    assert status["steps"][1] == {
        "dataset": "gate",
        "status": "in_progress",
        "completed": False,
        "message": "at the gate",
    }
    assert 20 <= status["progress"] < 100
    assert status["endTime"] is None
    opened.set()
    assert (await session.result())["findings"][1]["data"] == {"through": True}


async def test_session_waits_for_a_free_runner(tmp_path: Path) -> None:
    opened = new_gate("first")
    async with running(rig_settings(tmp_path, tasks={"max_running": 1})) as rig:
        first = await start(*rig, areaId="gated", companyId="first")
        await BEGUN["first"].wait()
        second = await start(*rig, areaId="partly")
        status = await second.status()
        assert status["status"] == "initiated"
        assert {step["status"] for step in status["steps"]} == {"pending"}
        opened.set()
        assert (await first.result())["findings"]
        assert (await second.result())["findings"]


async def test_late_subscriber_gets_the_state_and_the_end(
    rig: tuple[RunningServer, httpx.AsyncClient],
) -> None:
    session = await start(*rig, areaId="partly")
    whole = await session.follow()
    late = await session.follow()
    assert [message.type for message in late] == ["status", "complete"]
    assert late[0].data["snapshot"] is True
    assert late[0].data["status"] == "completed"
    assert late[1] == whole[-1]


async def test_reconnect_resumes_and_ends(rig: tuple[RunningServer, httpx.AsyncClient]) -> None:
    opened = new_gate("again")
    session = await start(*rig, areaId="gated", companyId="again")
    await BEGUN["again"].wait()
    async with open_stream(session.server.url, path=session.urls["eventsUrl"]) as stream:
        assert await stream.next_event() is not None
        seen = stream.last_event_id
    opened.set()
    whole = await session.follow()
    rest = await session.follow(seen)
    assert rest[-1] == whole[-1]
    assert rest[-1].type == "complete"
    assert all(message.id > seen and "snapshot" not in message.data for message in rest)
    with pytest.raises(StreamRefused) as refused:
        await session.follow(rest[-1].id)
    assert refused.value.status == 204


async def test_hundred_streams_each_get_every_message(rig: tuple[RunningServer, httpx.AsyncClient]) -> None:
    opened = new_gate("crowd")
    session = await start(*rig, areaId="gated", companyId="crowd")
    await BEGUN["crowd"].wait()
    seen: list[list[StreamMessage]] = []
    waiting = 100
    all_connected = trio.Event()

    async def follow() -> None:
        nonlocal waiting
        messages = []
        path = session.urls["eventsUrl"]
        async with open_stream(session.server.url, path=path) as stream:
            while (event := await stream.next_event()) is not None:
                messages.append(parse(event))
                if len(messages) == 1:
                    waiting -= 1
                    if not waiting:
                        all_connected.set()
        seen.append(messages)

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(follow)
        await all_connected.wait()
        opened.set()
    last = (await session.follow())[-1]
    for messages in seen:
        assert messages[0].data["snapshot"] is True
        versions = [message.data["version"] for message in messages]
        assert versions == list(range(versions[0], versions[0] + len(versions))), (
            "each version comes exactly once"
        )
        assert messages[-1] == last
        assert messages[-1].data["result"]["findings"][1]["data"] == {"through": True}
    assert len(seen) == 100
