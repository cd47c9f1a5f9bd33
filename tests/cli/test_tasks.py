"""`streamd tasks ls`, `show` and `cancel`, and the errors of all `streamd tasks` commands."""

import json
import signal
import socket
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import trio
from click.testing import CliRunner

from streamd.characters import find_invalid
from streamd.cli import main
from streamd.cli.task_text import SHOWN_CHARS_MAX
from streamd.tasks.store.port import Bounds
from tests.support.fake_server import fake_server, hang
from tests.support.fake_streamd import FakeStreamd, refuse, respond_as
from tests.support.program import run, started
from tests.support.tasks_server import TasksServer, started_on_terminal, tasks_server

EVIL = "evil \u202ered\u2066\nsecond line"
HARMLESS = r"evil \u202ered\u2066 second line"


@pytest.fixture
async def server_with_tasks() -> AsyncIterator[TasksServer]:
    async with tasks_server() as server:
        yield server


# --- ls ---------------------------------------------------------------------------------------------


async def test_ls_on_a_pipe_prints_aligned_columns_newest_first(server_with_tasks: TasksServer) -> None:
    first = await server_with_tasks.job(id="a-task", owner="me")
    await first.update(progress=41.9, step="search", message=EVIL)
    second = await server_with_tasks.job(kind="odd", id="b")
    await second.fail("there was nothing to do")
    done = await run("tasks", "ls", "--url", server_with_tasks.url)
    assert (done.returncode, done.stderr) == (0, "")
    header, b, a = done.stdout.splitlines()
    assert header.split() == ["ID", "KIND", "STATUS", "PROGRESS", "OWNER", "CREATED", "DOING"]
    assert b.split()[:6] == ["b", "odd", "failed", "0", "%", "-"]
    assert b.endswith("Z  there was nothing to do")
    assert a.split()[:6] == ["a-task", "job", "running", "41", "%", "me"]
    assert a.endswith(f"search: {HARMLESS}")
    for name, value in (("KIND", "job"), ("STATUS", "running"), ("OWNER", "me"), ("DOING", "search")):
        assert a.index(value) == header.index(name)


async def test_ls_filters_and_prints_json(server_with_tasks: TasksServer) -> None:
    await server_with_tasks.job(id="a", owner="me")
    await (await server_with_tasks.job(id="b", owner="you")).complete({"n": 1})
    await server_with_tasks.job(id="c", kind="odd", owner="me")

    async def ids(*options: str) -> list[str]:
        done = await run("tasks", "ls", "--json", *options, STREAMD_URL=server_with_tasks.url)
        assert done.returncode == 0
        return [json.loads(line)["id"] for line in done.stdout.splitlines()]

    assert await ids() == ["c", "b", "a"]
    assert await ids("--owner", "me", "--kind", "job") == ["a"]
    assert await ids("--status", "completed", "--http2") == ["b"]
    limited = await run("tasks", "ls", "--json", "--limit", "2", "--url", server_with_tasks.url)
    assert [json.loads(line)["id"] for line in limited.stdout.splitlines()] == ["c", "b"]
    assert limited.stderr == "these are the newest 2; there may be more, see --limit\n"
    none = await run("tasks", "ls", "--owner", "nobody", "--url", server_with_tasks.url)
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "there are no such tasks\n")


async def test_ls_on_a_terminal_prints_a_table_with_whole_ids(server_with_tasks: TasksServer) -> None:
    task_id = "x" * 40
    job = await server_with_tasks.job(id=task_id)
    await job.update(message=EVIL + " and so on" * 50)
    arguments = ("tasks", "ls", "--url", server_with_tasks.url)
    async with started_on_terminal(*arguments) as (program, terminal):
        assert await program.ended() == 0
        shown = await terminal.rest()
    [row] = [line for line in shown.splitlines() if task_id in line]
    assert "…" in row
    assert "\x1b[36mrunning" in shown
    assert r"evil \u202e" in row
    assert "\u202e" not in shown


# --- show -------------------------------------------------------------------------------------------


async def test_show_prints_steps_details_error_and_result(server_with_tasks: TasksServer) -> None:
    job = await server_with_tasks.job(id="a", owner="me", steps=("plan", "search"))

    async def plan(progress: object) -> None:
        async with progress.step("plan") as step:  # type: ignore[attr-defined]
            await step.update(50, EVIL, sources=3)

    await job.do(plan)
    await job.complete({"answer": ["forty", 2]})
    done = await run("tasks", "show", "a", "--url", server_with_tasks.url)
    assert (done.returncode, done.stderr) == (0, "")
    shown = [line.split() for line in done.stdout.splitlines()]
    for row in ("id a", "kind job", "owner me", "status completed", "progress 100 %", "step 1 of 2 plan"):
        assert row.split() in shown
    assert "message   The task is complete\n" in done.stdout
    assert ["completed", "100", "%", "plan", *HARMLESS.split()] in shown
    assert ["pending", "0", "%", "search"] in shown
    assert '  "sources": 3\n' in done.stdout
    assert '"forty",\n' in done.stdout.partition("\nresult\n")[2]

    failed = await server_with_tasks.job(id="b")
    await failed.fail(EVIL, code="no-luck")
    done = await run("tasks", "show", "b", "--url", server_with_tasks.url)
    assert f"error     {HARMLESS} (no-luck)\n" in done.stdout
    assert "result" not in done.stdout


async def test_show_cuts_a_large_result_and_json_has_it_whole(server_with_tasks: TasksServer) -> None:
    result = {"text": "x" * (3 * SHOWN_CHARS_MAX), "big": 2**63 - 1}
    job = await server_with_tasks.job(id="a")
    await job.complete(result)
    shown = await run("tasks", "show", "a", "--url", server_with_tasks.url)
    assert len(shown.stdout) < 2 * SHOWN_CHARS_MAX
    assert "more characters; --json shows all\n" in shown.stdout
    whole = await run("tasks", "show", "a", "--json", "--url", server_with_tasks.url)
    [line] = whole.stdout.splitlines()
    fields = json.loads(line)
    assert fields["result"] == result
    assert (fields["id"], fields["status"], fields["has_result"]) == ("a", "completed", True)


# --- cancel -----------------------------------------------------------------------------------------


async def test_cancel_ends_a_task_with_a_reason(server_with_tasks: TasksServer) -> None:
    job = await server_with_tasks.job(id="a")
    arguments = ("tasks", "cancel", "a", "--message", "we have it already", "--url", server_with_tasks.url)
    done = await run(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, "a is cancelled\n", "")
    task = await job.ended()
    assert task.error is not None
    assert (task.status, task.error.detail) == ("cancelled", "we have it already")
    again = await run(*arguments)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("Error: the task is cancelled and cannot become cancelled (409 ")


async def test_an_interrupted_cancel_reports_an_unknown_outcome() -> None:
    async with fake_server(hang) as silent, started("tasks", "cancel", "a", "--url", silent.url) as program:
        [request] = await silent.wait_for_requests(1)
        assert (request.method, request.target) == ("POST", "/tasks/a/cancel")
        program.signal(signal.SIGINT)
        assert await program.ended() == 130
        assert await program.rest(2) == "interrupted: it is not known whether the task was cancelled\n"
        assert await program.rest() == ""


# --- errors -----------------------------------------------------------------------------------------

COMMANDS = [("ls",), ("show", "a"), ("watch", "a"), ("cancel", "a")]


def error_line(stderr: str) -> str:
    """Return the one line of an error."""
    [line] = stderr.splitlines()
    assert line.startswith("Error: ")
    assert find_invalid(line) is None
    return line.removeprefix("Error: ")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_absent_server_is_an_error(command: tuple[str, ...]) -> None:
    with socket.socket() as unused:  # bound and not listening, so that no other server has the port
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        done = CliRunner().invoke(main, ["tasks", *command, "--url", url])
    assert (done.exit_code, done.stdout) == (1, "")
    assert error_line(done.stderr).startswith(f"no answer from {url}/: ")


async def test_unknown_and_deleted_tasks_are_errors(server_with_tasks: TasksServer) -> None:
    tasks = server_with_tasks.tasks
    await (await server_with_tasks.job(id="old")).complete(1)
    later = tasks.now() + timedelta(days=30)
    bounds = Bounds(keep_seconds=1.0, max_kept=1)
    # A task is kept until its last message is published; only the store itself shows that.
    while not await tasks.store.expire(  # noqa: ASYNC110
        later, {}, bounds, tombstone_seconds=1e9, max_tombstones=9
    ):
        await trio.sleep(0.005)
    for command in ("show", "watch", "cancel"):
        gone = await run("tasks", command, "old", "--url", server_with_tasks.url)
        assert (gone.returncode, gone.stdout) == (1, "")
        assert "(410 gone" in error_line(gone.stderr)
    for task_id in ("never", "../tasks?x=%2f#y\x1b"):
        unknown = await run("tasks", "show", task_id, "--url", server_with_tasks.url)
        assert (unknown.returncode, unknown.stdout) == (1, "")
        assert "(404 " in error_line(unknown.stderr)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ls", "--status", "sleeping"), "'sleeping' is not one of 'pending'"),
        (("ls", "--limit", "0"), "--limit"),
        (("ls", "--owner", b"\xff".decode(errors="surrogateescape")), "it is not UTF-8"),
        (("watch",), "Missing argument 'ID'"),
        (("show", ""), "cannot be the id of a task"),
        (("watch", ".."), "cannot be the id of a task"),
        (("cancel", "a", "--url", "nowhere"), "'nowhere' is not a URL"),
        (("stop", "a"), "No such command 'stop'"),
    ],
)
def test_wrong_usage_is_status_2(arguments: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(main, ["tasks", *arguments])
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


async def test_other_answers_of_a_server_are_errors(
    server: FakeStreamd, server_with_tasks: TasksServer
) -> None:
    async def refused(*command: str, url: str = server.url) -> str:
        done = await run("tasks", *command, "--url", url)
        assert (done.returncode, done.stdout) == (1, "")
        return error_line(done.stderr)

    server.script.append(refuse(503, problem={"code": "unavailable", "detail": EVIL}))
    assert await refused("show", "a") == f"{HARMLESS} (503 unavailable)"
    server.script.append(respond_as("text/html", b"<h1>hello</h1>"))
    assert (await refused("ls")).endswith("is the URL right?")
    server.script.append(respond_as("application/json", b'{"id": "a", "status": 7}'))
    assert (await refused("watch", "a")).endswith("is the URL right?")
    assert "limit must be 0 to" in await refused("ls", "--limit", "99999", url=server_with_tasks.url)
