"""`streamd log`: statistics, export, import and backup of the log's file, also while a server uses it."""

import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from streamd.events import EARLIEST
from streamd.log.sqlite import archive
from tests.support.damage import damage
from tests.support.logs import append, sqlite_log
from tests.support.program import command, environment, run, started
from tests.support.server_process import server_process

KEEP_ALL = {"log__topic_max_events": 1_000_000, "log__max_events": 1_000_000}


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """Return the file of a log with events."""
    path = tmp_path / "a.db"
    async with sqlite_log(path) as log:
        await append(log, *["a", "b"] * 5)
    return path


async def log(*arguments: str, input: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command, and check that it prints no traceback."""
    done = await run("log", *arguments, input=input, **variables)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def lines_of(path: Path) -> list[str]:
    pages = archive.export(str(path), EARLIEST)
    return b"".join(page.lines for page in pages).decode().splitlines(keepends=True)


async def publish(client: httpx.AsyncClient, count: int, **fields: Any) -> list[str]:
    """Publish events in one request, and return their ids."""
    events = [{"topics": ["a"], "data": n, **fields} for n in range(count)]
    response = await client.post("/events", json=events)
    response.raise_for_status()
    ids: list[str] = response.json()["ids"]
    return ids


# --- without a server ----------------------------------------------------------------------------------


async def test_stats_as_text_and_as_json(file: Path) -> None:
    text = await log("stats", "--log", f"sqlite:{file}")
    assert (text.returncode, text.stderr) == (0, "")
    assert "events     10 with 90 bytes, under 2 topics\n" in text.stdout
    as_json = await log("stats", "--json", "--log", f"sqlite:{file}")
    found = json.loads(as_json.stdout)
    assert (found["events"], found["topics"], found["starts"]) == (10, 2, 1)
    assert found["largest"] == [["a", 5, 45], ["b", 5, 45]]


@pytest.mark.parametrize("name", ["stats", "export", "backup"])
@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("memory:", "the event log is in memory"),
        ("sqlite:gone.db", "there is no file gone.db"),
        ("sqlite:text.db", "text.db cannot be read"),
        ("sqlite:empty.db", "empty.db holds no event log"),
        ("sqlite:newer.db", "the log in newer.db is of version 99; this streamd reads version 1"),
    ],
)
async def test_a_log_that_cannot_be_read_is_an_error_and_status_1(
    file: Path, monkeypatch: pytest.MonkeyPatch, name: str, url: str, text: str
) -> None:
    monkeypatch.chdir(file.parent)
    (file.parent / "text.db").write_text("no database " * 100)
    (file.parent / "empty.db").touch()
    shutil.copy(file, "newer.db")
    damage("newer.db", "UPDATE migrations SET version = 99 WHERE component = 'log'")
    output = {"export": ["--output", "out"], "backup": ["out"]}.get(name, [])
    done = await log(name, "--log", url, *output)
    assert (done.returncode, done.stdout) == (1, "")
    assert text in done.stderr
    assert not (file.parent / "out").exists()


async def test_the_log_is_that_of_serve_by_flag_environment_and_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    (file.parent / "streamd.toml").write_text('[log]\nurl = "sqlite:a.db"\n')
    none = {"STREAMD_STORE__URL": ""}
    for arguments, variables in (
        (["--log", "sqlite:a.db"], {}),
        ([], {"STREAMD_LOG__URL": "sqlite:a.db"}),
        ([], {"STREAMD_STORE__URL": "sqlite:a.db"}),
        ([], {"STREAMD_CONFIG": "streamd.toml"}),
        (["--config", "streamd.toml"], none),
        (["--config", "streamd.toml", "--log", "sqlite:a.db"], {"STREAMD_LOG__URL": "sqlite:b.db"}),
    ):
        done = await log("stats", "--json", *arguments, **variables)
        assert json.loads(done.stdout)["file"] == "a.db", done.stderr
    shutil.copy(file, "streamd.db")
    done = await log("stats", "--json", **none)
    assert json.loads(done.stdout)["file"] == "streamd.db"
    wrong = await log("stats", "--log", "a.db")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "log.url" in wrong.stderr


async def test_an_export_goes_to_standard_output_after_an_id(file: Path) -> None:
    lines = lines_of(file)
    done = await log("export", "--log", f"sqlite:{file}")
    assert (done.returncode, done.stdout) == (0, "".join(lines))
    assert done.stderr.startswith("exported 10 events in ")
    rest = await log("export", "--log", f"sqlite:{file}", "--after", json.loads(lines[6])["id"])
    assert rest.stdout == "".join(lines[7:])
    wrong = await log("export", "--log", f"sqlite:{file}", "--after", "yesterday")
    assert (wrong.returncode, wrong.stdout) == (2, "")


async def test_a_damaged_event_is_named_and_the_rest_exported(file: Path) -> None:
    lines = lines_of(file)
    damage(file, "UPDATE log_events SET body = '{' WHERE id = (SELECT max(id) FROM log_events)")
    done = await log("export", "--log", f"sqlite:{file}")
    assert (done.returncode, done.stdout) == (0, "".join(lines[:-1]))
    assert f"the event {json.loads(lines[-1])['id']} is damaged and was left out\n" in done.stderr


@pytest.mark.parametrize("cut", [0, 1, 6, 7, 30])
async def test_an_export_goes_on_after_the_last_whole_line_of_its_output(file: Path, cut: int) -> None:
    lines = lines_of(file)
    output = file.parent / "out.ndjson"
    output.write_text("".join(lines[:4]) + lines[4][:cut])
    done = await log("export", "--log", f"sqlite:{file}", "--output", str(output))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("exported 6 events")
    assert output.read_text() == "".join(lines)
    again = await log("export", "--log", f"sqlite:{file}", "--output", str(output))
    assert again.stderr.startswith("exported 0 events")
    assert output.read_text() == "".join(lines)


@pytest.mark.parametrize("content", [b"my notes", b"my notes\n", b"{}\n", b'{"id":5}\n', b"\xff\xfe", b"[1]"])
async def test_an_output_with_other_content_is_left_as_it_is(file: Path, content: bytes) -> None:
    output = file.parent / "out.ndjson"
    output.write_bytes(content)
    done = await log("export", "--log", f"sqlite:{file}", "--output", str(output))
    assert (done.returncode, done.stdout) == (1, "")
    assert "no event" in done.stderr
    assert output.read_bytes() == content


async def test_an_output_that_cannot_be_written_is_an_error(file: Path) -> None:
    done = await log("export", "--log", f"sqlite:{file}", "--output", str(file.parent / "no" / "out"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "No such file or directory" in done.stderr


async def test_a_closed_pipe_ends_an_export_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with sqlite_log(path) as written:
        await append(written, *["a" * 1000] * 2000)
    export = " ".join(command("log", "export", "--log", f"sqlite:{path}"))
    with trio.fail_after(30):
        done = await trio.run_process(
            ["sh", "-c", f"{export} | head -1"], capture_stdout=True, capture_stderr=True, env=environment()
        )
    assert json.loads(done.stdout)["type"] == "message"
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr


async def test_import_from_standard_input_and_from_a_file(file: Path) -> None:
    lines = lines_of(file)
    target, source = file.parent / "b.db", file.parent / "in.ndjson"
    source.write_text("".join(lines))
    done = await log("import", "--log", f"sqlite:{target}", input="\ufeff" + "".join(lines[:4]))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("imported 4 events in ")
    done = await log("import", "--log", f"sqlite:{target}", str(source))
    assert done.returncode == 0
    assert done.stderr.startswith("imported 6 events in ")
    assert done.stderr.endswith("; 4 were there already\n")
    assert lines_of(target) == lines
    done = await log("import", "--log", f"sqlite:{file.parent}/no/b.db", str(source))
    assert (done.returncode, done.stdout) == (1, "")
    assert "No such file or directory" in done.stderr


async def test_a_wrong_line_is_an_error_with_its_number_and_nothing_is_imported(file: Path) -> None:
    target = file.parent / "b.db"
    done = await log("import", "--log", f"sqlite:{target}", input="".join(lines_of(file)) + "wrong\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "line 11 is no event of an export" in done.stderr
    assert not target.exists()


async def test_ctrl_c_ends_an_import_and_nothing_is_imported(file: Path) -> None:
    target = file.parent / "b.db"
    async with started("log", "import", "--log", f"sqlite:{target}") as program:
        await program.write("".join(lines_of(file)))
        with trio.fail_after(30):
            while not target.exists():
                await trio.lowlevel.checkpoint()
        program.signal(signal.SIGINT)
        assert await program.ended() != 0
        assert "Traceback" not in await program.rest(2)
    assert not target.exists()


# --- beside a server -----------------------------------------------------------------------------------


async def test_export_and_backup_beside_a_server_that_publishes(tmp_path: Path) -> None:
    url, copy = f"sqlite:{tmp_path / 'a.db'}", tmp_path / "copy.db"
    async with (
        server_process(log__url=url, store__url=url, **KEEP_ALL) as server,
        httpx.AsyncClient(base_url=server.url) as client,
        trio.open_nursery() as nursery,
    ):
        published: list[str] = []
        stopped = trio.Event()

        async def publish_on() -> None:
            while not stopped.is_set():  # httpx complains of a request that is cancelled
                published.extend(await publish(client, 1))

        (await client.post("/tasks", json={"kind": "job", "id": "my-task"})).raise_for_status()
        published += await publish(client, 10)
        nursery.start_soon(publish_on)
        for _ in range(2):
            known = len(published)
            done = await log("export", "--log", url)
            ids = [json.loads(line)["id"] for line in done.stdout.splitlines()]
            ids = [each for each in ids if each >= published[0]]
            assert ids[:known] == published[:known]
            stats = await log("stats", "--json", "--log", url)
            assert json.loads(stats.stdout)["events"] >= len(ids)
        known = len(published)
        done = await log("backup", "--log", url, str(copy))
        assert done.returncode == 0, done.stderr
        refused = await log("backup", "--log", url, str(copy))
        assert refused.returncode == 1
        assert "File exists" in refused.stderr
        refused = await log("import", "--log", url, input="")
        assert refused.returncode == 1
        assert "another process uses it" in refused.stderr
        stopped.set()
    await check_copy(copy, published, known)


async def check_copy(copy: Path, published: list[str], known: int) -> None:
    """Check that a server serves a copy: the tasks, and a prefix of the events with those that were known."""
    async with (
        server_process(log__url=f"sqlite:{copy}", store__url=f"sqlite:{copy}", **KEEP_ALL) as server,
        httpx.AsyncClient(base_url=server.url) as client,
    ):
        assert (await client.get("/tasks/my-task")).json()["kind"] == "job"
        ids = await poll(client, "earliest")
        assert ids == published[: len(ids)]
        assert len(ids) >= known


async def poll(client: httpx.AsyncClient, after: str) -> list[str]:
    """Return the ids of all events of a topic after a cursor, by long polling; there is no gap."""
    ids: list[str] = []
    while True:
        response = await client.get("/events/poll", params={"topic": "a", "after": after, "wait": "0"})
        response.raise_for_status()
        page = response.json()
        assert not page.get("gap"), page
        ids += [event["id"] for event in page["events"]]
        after = page["next"]
        if not page["events"]:
            return ids


async def test_a_server_serves_imported_events_from_any_cursor(file: Path) -> None:
    target = file.parent / "b.db"
    lines = lines_of(file)
    ids = [json.loads(each)["id"] for each in lines if '"topics":["a"]' in each]
    await log("import", "--log", f"sqlite:{target}", input="".join(lines))
    async with (
        server_process(log__url=f"sqlite:{target}", store__url="memory:") as server,
        httpx.AsyncClient(base_url=server.url) as client,
    ):
        for index, each in enumerate(ids):
            assert await poll(client, each) == ids[index + 1 :]
        [new] = await publish(client, 1)
        assert await poll(client, "earliest") == [*ids, new]


async def test_imports_into_a_file_with_tasks(file: Path) -> None:
    url = f"sqlite:{file.parent / 'tasks.db'}"
    async with (
        server_process(log__url="memory:", store__url=url) as server,
        httpx.AsyncClient(base_url=server.url) as client,
    ):
        (await client.post("/tasks", json={"kind": "job", "id": "my-task"})).raise_for_status()
    done = await log("import", "--log", url, input="".join(lines_of(file)))
    assert done.returncode == 0, done.stderr
    async with server_process(store__url=url) as server, httpx.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/tasks/my-task")).json()["kind"] == "job"
        assert len(await poll(client, "earliest")) == 5
