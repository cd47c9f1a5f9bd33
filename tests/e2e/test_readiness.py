"""Readiness of a running server: false with its reason while the store cannot be used, and true again."""

import resource
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest

from tests.support.server_process import ServerProcess, server_process

UNLIMITED = resource.RLIM_INFINITY


async def until(http: httpx.AsyncClient, status: int) -> dict[str, Any]:
    """Ask until the server answers with a status, and return the body."""
    while (answer := await http.get("/health/ready")).status_code != status:
        pass
    body: dict[str, Any] = answer.json()
    if status == 503:
        assert int(answer.headers["Retry-After"]) > 0
    return body


def limit_files(server: ServerProcess, max_bytes: int) -> None:
    """Let writes beyond a size of a file fail, as they do on a disk without room."""
    resource.prlimit(server.program.process.pid, resource.RLIMIT_FSIZE, (max_bytes, UNLIMITED))


async def test_a_disk_without_room_and_its_recovery(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    async with (
        server_process("--store", f"sqlite:{path}") as server,
        httpx.AsyncClient(base_url=server.url) as http,
    ):
        assert (await http.post("/tasks", json={"kind": "k", "id": "one"})).status_code == 201
        assert (await until(http, 200))["status"] == "ready"
        limit_files(server, 0)
        problem = await until(http, 503)
        assert problem["detail"].startswith("the store cannot be used: its disk ")
        assert str(tmp_path) not in str(problem)
        assert (await http.post("/tasks", json={"kind": "k", "id": "two"})).status_code == 503
        assert (await http.get("/health/live")).status_code == 200
        limit_files(server, UNLIMITED)
        await until(http, 200)
        assert (await http.post("/tasks", json={"kind": "k", "id": "two"})).status_code == 201


async def test_a_deleted_file(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    async with (
        server_process("--store", f"sqlite:{path}") as server,
        httpx.AsyncClient(base_url=server.url) as http,
    ):
        await until(http, 200)
        path.rename(tmp_path / "aside.db")
        assert "its file was moved or deleted" in (await until(http, 503))["detail"]
        (tmp_path / "aside.db").rename(path)
        await until(http, 200)


async def test_a_file_that_another_process_has_locked(tmp_path: Path) -> None:
    """Such as a shell with an open transaction: publishers are told to come back, and the events stay."""
    path = tmp_path / "tasks.db"
    event = {"topic": "a", "data": "x"}
    async with (
        server_process("--store", f"sqlite:{path}") as server,
        # Each transaction before that of the request waits for the lock, too.
        httpx.AsyncClient(base_url=server.url, timeout=60) as http,
    ):
        assert (await http.post("/events", json=event)).status_code == 201
        with closing(apsw.Connection(str(path))) as shell:
            shell.execute("BEGIN IMMEDIATE")
            refused = await http.post("/events", json=event)
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
            assert (await http.post("/tasks", json={"kind": "k", "id": "one"})).status_code == 503
            problem = await until(http, 503)
            assert problem["detail"].startswith("the store cannot be used: ")
            poll = (await http.get("/events/poll?topic=a&after=earliest&wait=0")).json()
            assert len(poll["events"]) == 1
        await until(http, 200)
        assert (await http.post("/events", json=event)).status_code == 201
        assert (await http.post("/tasks", json={"kind": "k", "id": "one"})).status_code == 201


@pytest.mark.parametrize("store", ["memory:", "sqlite:{}/tasks.db"])
async def test_a_working_store_is_ready_however_often_it_is_asked(store: str, tmp_path: Path) -> None:
    async with (
        server_process("--store", store.format(tmp_path)) as server,
        httpx.AsyncClient(base_url=server.url) as http,
    ):
        for _ in range(200):
            assert (await http.get("/health/ready")).status_code == 200
