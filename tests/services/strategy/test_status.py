"""The status of a strategy shows a poller the same as a stream shows its follower, on both stores."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from streamd.services.strategy.catalogue import SECTIONS
from streamd.testing import open_stream
from tests.support.messages import next_message
from tests.support.service_tasks import SERVICES, STATES, ServiceTasks, service_tasks

PIECE = {"after": "analysis", "title": "Why", "text": "Because."}
FIRST = SECTIONS[0].name


@pytest.fixture(params=["memory", "sqlite"])
async def service(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ServiceTasks]:
    async with service_tasks(SERVICES["strategy"], request.param, tmp_path) as service:
        yield service


async def both(service: ServiceTasks, task_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the status, and the first message of a new stream."""
    status = (await service.call("GET", str(service.routes.status), task_id)).json()
    async with open_stream(service.url, path=service.routes.events.format(id=task_id)) as reader:
        snapshot = await next_message(reader)
    assert snapshot.type == "status"
    return status, snapshot.data


async def test_status_and_snapshot_are_equal_in_every_state(service: ServiceTasks) -> None:
    for make in STATES.values():
        task_id = await make(service)
        status, snapshot = await both(service, task_id)
        urls = ("statusUrl", "eventsUrl", "resultUrl", "cancelUrl")
        assert {name: status[name] for name in status if name not in ("strategyId", *urls)} == snapshot
        assert status["strategyId"] == snapshot["taskId"] == task_id
        assert ("error" in status) is (status["status"] in ("failed", "cancelled"))


async def test_status_has_the_text_and_the_educational_content(service: ServiceTasks) -> None:
    task_id = await service.running()
    progress = service.handle(await service.tasks.get(task_id))
    await progress.update(text="## Analysis", message="Looking around", progress=40, step=FIRST)
    await progress.educate(PIECE)
    status, snapshot = await both(service, task_id)
    assert status["educational_content"] == snapshot["educational_content"] == PIECE
    assert (status["text"], status["message"], status["progress"]) == ("## Analysis", "Looking around", 40)
    assert (status["step"], status["step_name"], status["steps"]) == (1, FIRST, len(SECTIONS))
    assert [step["step"] for step in status["step_list"]] == [1, 2, 3, 4, 5, 6]
    assert status["timestamp"] == snapshot["timestamp"]
