"""A flood of tasks or events, on a small store: what is stored is bounded, and told with 503."""

from pathlib import Path

import attrs
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamd.database import StoreSettings
from streamd.log.settings import LogSettings
from streamd.settings import Settings
from streamd.testing import open_stream, run_server

MB = 1_000_000
MAX_BYTES = 3 * MB
LOG_BYTES = MB
INPUT = "x" * 200_000
# Of the log: twice its bytes. The rest: the write-ahead log, and writes that were under way.
FILES_MAX = MAX_BYTES + 2 * LOG_BYTES + 12 * MB


def settings_for(url: str) -> Settings:
    return Settings(
        store=StoreSettings(url=url, max_bytes=MAX_BYTES),
        log=LogSettings(max_bytes=LOG_BYTES, topic_max_bytes=LOG_BYTES),
    )


async def metric(http: httpx.AsyncClient, name: str) -> float:
    text = (await http.get("/metrics")).text
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    return next(sample.value for sample in samples if sample.name == name)


def files_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


@pytest.mark.parametrize("name", ["sqlite", "memory"])
async def test_a_flood_of_tasks_is_answered_503_and_everything_else_goes_on(
    name: str, tmp_path: Path
) -> None:
    url = f"sqlite:{tmp_path / 'streamd.db'}" if name == "sqlite" else "memory:"
    async with run_server(settings_for(url)) as server, httpx.AsyncClient(base_url=server.url) as http:
        created, refused = [], None
        for number in range(60):
            answer = await http.post("/tasks", json={"kind": f"kind-{number}", "input": INPUT})
            if answer.status_code == 503:
                refused = answer
                break
            assert answer.status_code == 201, answer.text
            created.append(answer.json()["id"])
        assert refused is not None
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["code"] == "insufficient-storage"
        assert int(refused.headers["retry-after"]) > 0
        assert len(created) >= MAX_BYTES // len(INPUT) - 1
        assert len((await http.get("/tasks")).json()["tasks"]) == len(created), "nothing half done"
        bound = await metric(http, "streamd_store_max_bytes")
        assert await metric(http, "streamd_store_bytes") <= bound + 1.5 * MB
        assert await metric(http, "streamd_store_refusals_total") == 1
        assert (await http.get("/health/ready")).status_code == 200
        async with open_stream(server.url, topics=["a"]) as reader:
            await reader.next_control("connected")
            assert (await http.post("/events", json={"topic": "a", "data": "on"})).status_code == 201
            event = await reader.next_event()
            assert event is not None
            assert event.data == "on"
        # Those that ended make room, a long time before they would expire.
        for task_id in created:
            assert (await http.post(f"/tasks/{task_id}/cancel")).status_code == 200
        streamd = server.streamd
        while True:
            await streamd.runtime.runner.expire()
            answer = await http.post("/tasks", json={"kind": "after", "input": INPUT})
            if answer.status_code == 201:
                break
            assert answer.json()["code"] == "insufficient-storage"
        if name == "sqlite":
            assert files_bytes(tmp_path) <= FILES_MAX


async def test_a_flood_of_events_keeps_the_size_of_the_log(tmp_path: Path) -> None:
    settings = settings_for(f"sqlite:{tmp_path / 'streamd.db'}")
    settings = attrs.evolve(settings, log=attrs.evolve(settings.log, max_events=30_000))
    async with run_server(settings) as server, httpx.AsyncClient(base_url=server.url) as http:
        for number in range(80):
            events = [{"topic": f"{number}-{each}", "data": "x" * 10_000} for each in range(40)]
            answer = await http.post("/events", json=events)
            assert answer.status_code in (201, 503), answer.text
            assert files_bytes(tmp_path) <= FILES_MAX
        used, bound = [await metric(http, f"streamd_store_{each}") for each in ("bytes", "max_bytes")]
        assert used <= bound
