"""Database files of earlier versions: they open, keep everything, and their rows are published."""

from functools import partial
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from streamd.database import Database
from streamd.errors import Unreadable
from streamd.tasks import Status, Step, StepStatus, make_snapshot, task_fields
from streamd.tasks.store.schema import COMPONENT, MIGRATIONS
from tests.support.damage import damage
from tests.support.task_rig import SetClock, check_history, make_rig, publishing, running
from tests.support.task_stores import completing, contents_of, open_database, open_sqlite, updating

STEP = {"name": "a", "status": "running", "weight": 2.0, "progress": 50.0, "message": "half", "error": ""}
LEASE_END_MS = 1_767_355_230_000


def body(task_id: str, **fields: Any) -> bytes:
    """Encode a task as the first schema stored it: with ``stage``, and with an empty ``raw_input``."""
    known: dict[str, Any] = {
        "id": task_id,
        "kind": "remote",
        "owner": "o",
        "status": "running",
        "progress": 12.5,
        "stage": 'reading "é"\n',
        "message": "going",
        "steps": [STEP],
        "details": {"stage": "kept", "raw_input": 1, "deep": [1.0, {"x": None}], "é": "\u0000"},
        "eta_seconds": 3.5,
        "error": None,
        "created_at": "2026-01-02T12:00:00Z",
        "started_at": "2026-01-02T12:00:01Z",
        "updated_at": "2026-01-02T12:00:02Z",
        "ended_at": None,
        "deadline": "2026-01-02T13:00:00Z",
        "version": 3,
        "worker": "w",
        "lease": "secret",
        "lease_seconds": 30.0,
        "lease_until": None,
        "text_bytes": 3,
        "has_result": False,
        "raw_input": "",
    }
    return msgspec.json.encode(known | fields)


def message(task_id: str, version: int, status: str, type: str) -> bytes:
    data = {"taskId": task_id, "version": version, "status": status, "progress": version}
    return msgspec.json.encode({"type": type, "data": data})


def fill(db: apsw.Connection, **changes: Any) -> None:
    """Store a running task and one that has ended; some of their rows are published."""
    for seq, task_id, status, ended in ((7, "runs", "running", None), (9, "ended", "failed", 1)):
        fields = {} if status == "running" else {"status": "failed", "ended_at": "2026-01-02T12:00:02Z"}
        db.execute(
            "INSERT INTO tasks VALUES (?, ?, 'remote', 'o', ?, 'w', 0, ?, ?, 1, '0000000000001-000000', ?)",
            (seq, task_id, status, LEASE_END_MS, ended, body(task_id, **fields, **changes)),
        )
        db.execute("INSERT INTO task_inputs VALUES (?, ?)", (seq, b'{"in":1}'))
        db.execute("INSERT INTO task_texts VALUES (?, 2, 'abc')", (seq,))
    db.execute("INSERT INTO task_ends VALUES (9, ?, NULL)", (message("ended", 3, "failed", "error"),))
    rows = [
        (11, "runs", 2, 0, message("runs", 2, "running", "status")),
        (12, "ended", 2, 0, message("ended", 2, "running", "status")),
        (15, "ended", 3, 1, message("ended", 3, "failed", "error")),
        (16, "runs", 3, 0, message("runs", 3, "running", "progress")),
    ]
    db.executemany("INSERT INTO task_outbox VALUES (?, ?, ?, ?, ?)", rows)
    db.execute("INSERT INTO tasks_gone (id, at) VALUES ('gone', 5)")


async def write_old_file(path: str, **fields: Any) -> None:
    """Write a file of the first schema; ``fields`` are changes to its tasks."""
    database = Database(path)
    database.require(COMPONENT, MIGRATIONS[:1])
    async with open_database(database):
        await database.write(partial(fill, **fields))


async def test_a_file_of_the_first_schema_keeps_everything(tmp_path: Path) -> None:
    path = str(tmp_path / "tasks.db")
    await write_old_file(path)
    async with open_sqlite(path) as store:
        task = await store.get("runs")
        assert (task.step, task.status, task.version, task.lease) == (
            'reading "é"\n',
            Status.RUNNING,
            3,
            "secret",
        )
        assert task.details == {
            "stage": "kept",
            "raw_input": 1,
            "deep": [1.0, {"x": None}],
            "é": "\u0000",
        }
        assert task.steps == (Step("a", StepStatus.RUNNING, 2.0, 50.0, "half"),)
        assert await store.input("runs") == b'{"in":1}'
        snapshot = await store.snapshot("ended")
        assert (snapshot.text, snapshot.published_version) == ("abc", 1)
        assert snapshot.end is not None
        assert snapshot.end.type == "error"
        assert (await store.get("ended")).step == 'reading "é"\n'
        rows = await store.unpublished(99)
        assert [(row.task_id, row.version, row.part, row.topics, row.final, row.last) for row in rows] == [
            ("runs", 2, 0, ("tasks/runs",), False, False),
            ("ended", 2, 0, ("tasks/ended",), False, False),
            ("ended", 3, 0, ("tasks/ended",), True, True),
            ("runs", 3, 0, ("tasks/runs",), False, False),
        ]
        assert {row.kind for row in rows} == {"remote"}
        before = await contents_of(store)
    async with open_sqlite(path) as store:  # the migration is applied once
        assert await contents_of(store) == before
        assert (await store.change("runs", completing())).version == 4
        assert [row.version for row in await store.unpublished(99)] == [2, 2, 3, 3, 4]


async def test_unpublished_rows_of_a_file_of_the_first_schema_are_published(tmp_path: Path) -> None:
    path = str(tmp_path / "tasks.db")
    await write_old_file(path)
    async with open_sqlite(path) as store:
        rig = make_rig(store=store, now=SetClock())
        async with publishing(rig):
            await rig.drained_in_real_time()
        assert [event.value["version"] for event in await rig.published("runs")] == [2, 3]
        assert [event.type for event in await rig.published("ended")] == ["status", "error"]
        assert (await store.snapshot("ended")).published_version == 3


async def test_a_task_of_the_first_schema_has_the_fields_of_today(tmp_path: Path) -> None:
    path = str(tmp_path / "tasks.db")
    details = {"step_name": "theirs", "step_list": [1], "steps": 9, "stage": "kept"}  # allowed at the time
    await write_old_file(path, details=details)
    async with open_sqlite(path) as store:
        task = await store.get("runs")
        assert task.eta_seconds == 3.5
        assert (await store.change("runs", updating())).eta_seconds is None  # until its next progress
        for data in (make_snapshot(task, "").data, task_fields(task)):
            assert (data["step"], data["step_name"], data["steps"]) == (None, 'reading "é"\n', 1)
            assert [(step["step"], step["name"]) for step in data["step_list"]] == [(1, "a")]
        assert make_snapshot(task, "").data["stage"] == "kept"
        assert task_fields(task)["details"] == details


async def test_a_task_of_the_first_schema_goes_on(tmp_path: Path) -> None:
    path = str(tmp_path / "tasks.db")
    await write_old_file(path)
    async with open_sqlite(path) as store:
        rig = make_rig(store=store, now=SetClock())
        async with running(rig):
            await rig.tasks.complete("runs", {"n": 1}, lease="secret")
            await rig.until("runs", lambda event: event.type == "complete")
            versions = [event.value["version"] for event in await rig.published("runs")]
            assert versions == [2, 3, 4]
            task = await rig.tasks.create("remote", worker="w")
            await rig.tasks.complete(task.id, 1)
            await rig.ended(task.id)
            check_history(await rig.published(task.id), task.id)


async def test_a_file_of_the_schema_before_takes_idempotency_keys(tmp_path: Path) -> None:
    path = str(tmp_path / "tasks.db")
    before = Database(path)
    before.require(COMPONENT, MIGRATIONS[:2])
    async with open_database(before):
        pass
    async with open_sqlite(path) as store:
        rig = make_rig(store=store, now=SetClock())
        task = await rig.tasks.create("k", idempotency_key="key")
        assert await rig.tasks.create("k", idempotency_key="key") == task


async def test_a_damaged_task_of_the_first_schema_does_not_stop_the_migration(tmp_path: Path) -> None:
    path = str(tmp_path / "tasks.db")
    await write_old_file(path)
    damage(path, "UPDATE tasks SET body = substr(body, 1, 40) WHERE id = 'ended'")
    async with open_sqlite(path) as store:
        assert (await store.get("runs")).step == 'reading "é"\n'
        with pytest.raises(Unreadable):
            await store.get("ended")
