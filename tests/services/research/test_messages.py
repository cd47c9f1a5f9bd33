"""The messages of a session: its id and its steps, in the shape of its status, on both stores."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from streamd.database import StoreSettings
from streamd.testing import RunningServer, open_stream
from tests.support.api import check_problem
from tests.support.messages import next_message, read_to_end
from tests.support.research_rig import BEGUN, new_gate, rig_settings, running, start

Server = tuple[RunningServer, httpx.AsyncClient]


@pytest.fixture(params=["memory", "sqlite"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    url = "memory:" if request.param == "memory" else f"sqlite:{tmp_path / 'research.db'}"
    settings = attrs.evolve(rig_settings(tmp_path), store=StoreSettings(url=url))
    async with running(settings) as rig:
        yield rig


def check_steps(fields: dict[str, Any], *datasets: str) -> None:
    """Check that the steps of a message or a status have the shape of the contract."""
    assert [step["dataset"] for step in fields["steps"]] == list(datasets)
    for step in fields["steps"]:
        assert step["status"] in ("pending", "in_progress", "completed", "failed")
        assert step["completed"] is (step["status"] == "completed")
        assert set(step) - {"error"} == {"dataset", "status", "completed", "message"}
    if fields["step"] is None:
        assert fields["step_name"] == ""
    else:
        assert fields["step_name"] == datasets[fields["step"] - 1]


async def test_status_and_stream_have_the_same_id_and_steps(rig: Server) -> None:
    opened = new_gate("shape")
    session = await start(*rig, areaId="gated", companyId="shape")
    await BEGUN["shape"].wait()
    while (await session.status())["steps"][0]["status"] != "completed":
        pass  # nothing changes between the snapshot and the status that are compared
    async with open_stream(session.server.url, path=session.urls["eventsUrl"]) as reader:
        snapshot = (await next_message(reader)).data
        status = await session.status()
        for name in ("researchSessionId", "steps", "step", "step_name", "progress", "message"):
            assert snapshot[name] == status[name]
        assert snapshot["steps"][1]["status"] == "in_progress"
        opened.set()
        events = [await next_message(reader)]
        while events[-1].type != "complete":
            events.append(await next_message(reader))
    for message in (*events, *await session.follow()):
        check_steps(message.data, "known", "gate")
        assert message.data["researchSessionId"] == message.data["taskId"] == session.id
    result = (await session.get("result")).json()
    assert result["researchSessionId"] == session.id
    assert events[-1].data["result"] == result
    status = await session.status()
    assert events[-1].data["steps"] == status["steps"]
    assert {step["status"] for step in status["steps"]} == {"completed"}
    assert events[-1].data["message"] == status["message"]
    assert status["message"].startswith("The research is complete: ")
    assert status["message"].endswith(" from 2 of 2 datasets")


async def test_every_message_of_a_session_shows_its_steps(rig: Server) -> None:
    session = await start(*rig, areaId="partly")
    await session.follow()
    events = await read_to_end(session.server.url, session.urls["eventsUrl"], last_event_id="earliest")
    assert len(events) > 8
    for message in events:
        check_steps(message.data, "closed", "known", "bug")
    first, last = events[0].data, events[-1].data
    assert {step["status"] for step in first["steps"]} == {"pending"}
    assert [step["status"] for step in last["steps"]] == ["failed", "completed", "failed"]
    assert last["steps"][0]["error"] == "the register is closed today"


async def test_a_session_whose_datasets_all_fail_shows_no_progress(rig: Server) -> None:
    session = await start(*rig, areaId="none")
    last = (await session.follow())[-1].data
    status = await session.status()
    assert last["progress"] == status["progress"] == 0
    assert last["message"] == last["error"] == status["message"] == status["error"]
    assert [step["status"] for step in last["steps"]] == ["failed", "failed"]


async def test_errors_name_the_session(rig: Server) -> None:
    server, client = rig
    session = await start(*rig, areaId="partly")
    await session.follow()
    while not await server.streamd.runtime.runner.expire():
        server.streamd.tasks.kinds["research"] = attrs.evolve(
            server.streamd.tasks.kinds["research"], keep_seconds=1e-6
        )
    for method, what in (("GET", "status"), ("GET", "events"), ("GET", "result"), ("POST", "cancel")):
        gone = await client.request(method, f"/research/stream/{session.id}/{what}")
        check_problem(gone, 410, "gone", "researchSessionId")
        assert gone.json()["detail"] == f"session {session.id!r} is not kept any more"
        unknown = await client.request(method, f"/research/stream/nobody/{what}")
        check_problem(unknown, 404, "not-found", "researchSessionId")
        assert unknown.json()["detail"] == "there is no session 'nobody'"


async def test_each_message_of_a_step_is_about_its_dataset(rig: Server) -> None:
    session = await start(*rig, areaId="partly")
    await session.follow()
    events = await read_to_end(session.server.url, session.urls["eventsUrl"], last_event_id="earliest")
    said: dict[str, list[str]] = {"closed": [], "known": [], "bug": []}
    for message in events:
        if "step_status" in message.data:
            said[message.data["step_name"]].append(message.data["message"])
    assert said["closed"][0] == "looking for closed"
    assert said["closed"][-1] == "the register is closed today"
    assert said["known"][0] == "looking for known"
    assert said["known"][-2:] == ["found known", "found known"]
    assert said["bug"][0] == "looking for bug"
    assert said["bug"][-1] == "something went wrong in its source"


async def test_the_last_message_of_a_cancelled_session_is_about_a_dataset_that_ran(rig: Server) -> None:
    new_gate("cut-off")
    session = await start(*rig, areaId="gated", companyId="cut-off")
    await BEGUN["cut-off"].wait()
    async with open_stream(session.server.url, path=session.urls["eventsUrl"]) as reader:
        while (await next_message(reader)).data["steps"][0]["status"] != "completed":
            pass
    status = await session.status()
    assert (status["step_name"], status["message"]) == ("gate", "at the gate")
    await session.client.post(f"/research/stream/{session.id}/cancel")
    last = (await session.follow())[-1].data
    assert (last["step"], last["step_name"]) == (2, "gate")
    assert [step["status"] for step in last["steps"]] == ["completed", "failed"]
