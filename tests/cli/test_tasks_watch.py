"""`streamd tasks watch` on pipes and on a terminal, through lost connections and a restart."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from streamd.database import StoreSettings
from tests.support.program import run, started
from tests.support.tasks_server import QUICKLY, TasksServer, restartable, started_on_terminal, tasks_server

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


@pytest.fixture
async def tasks() -> AsyncIterator[TasksServer]:
    async with tasks_server() as server:
        yield server


# --- on pipes ---------------------------------------------------------------------------------------


async def test_each_message_is_a_line_until_the_task_is_completed(tasks: TasksServer) -> None:
    job = await tasks.job(steps=("plan", "write"))

    async def plan(progress: Any) -> None:
        async with progress.step("plan", message="looking") as step:
            await step.update(50, "half of it is seen")

    await job.update(message="on it")
    async with started("tasks", "watch", job.id, "--url", tasks.url) as program:
        assert await program.line() == "running     0 %  on it"
        await job.do(plan)
        assert await program.line() == "running     0 %  1/2 plan: looking"
        assert (await program.line()).startswith("running    25 %  1/2 plan: half of it is seen")
        # The end of the task only adds to the progress.
        assert (await program.line()).startswith("running    50 %  1/2 plan: half of it is seen")
        await job.do(lambda progress: progress.educate("a \x1b[1mfact"))
        assert await program.line() == r"          a \x1b[1mfact"
        await job.update(progress=99.9, step="write", message="nearly")
        assert (await program.line()).startswith("running    99 %  2/2 write: nearly")
        await job.complete({"a": 1})
        assert await program.line() == "completed 100 %  The task is complete"
        assert await program.ended() == 0
        assert (await program.rest(1), await program.rest(2)) == ("", "")


@pytest.mark.parametrize("kind", ["job", "odd", "mute"])
async def test_the_exit_status_is_the_end_of_the_task(tasks: TasksServer, kind: str) -> None:
    """With messages of any shape, and for a task that ended before."""
    jobs = [await tasks.job(kind=kind) for _ in range(3)]
    arguments = [("tasks", "watch", job.id, "--url", tasks.url) for job in jobs]
    async with started(*arguments[0]) as first, started(*arguments[1]) as second:
        await first.line()
        await second.line()
        await jobs[0].complete(1)
        await jobs[1].fail("it broke", code="broken")
        await tasks.tasks.cancel(jobs[2].id, message="not needed")
        assert (await first.ended(), await second.ended()) == (0, 1)
        last = "all of it" if kind == "odd" else "The task is complete"
        assert (await first.rest()).splitlines() == [f"completed 100 %  {last}"]
        assert (await second.rest()).splitlines()[-1] == "failed      0 %  it broke (broken)"
    for argument, status in zip(arguments, (0, 1, 1), strict=True):
        late = await run(*argument, "--http2")
        assert (late.returncode, late.stderr) == (status, "")
    assert late.stdout.splitlines()[-1] == "cancelled   0 %  not needed (cancelled)"


async def test_a_pipe_gets_the_text_alone(tasks: TasksServer) -> None:
    job = await tasks.job()
    await job.update(text="# Title\n\nDear ", message="writing")
    async with started("tasks", "watch", job.id, "--text", "--url", tasks.url) as program:
        assert await program.says("writing") == "running     0 %  writing"
        await job.update(text="reader,\u202e\n")
        assert await program.line() == "# Title"
        assert await program.line() == ""
        assert await program.line() == "Dear reader,\u202e"
        await job.update(text="no end of line")
        await job.complete(None)
        assert await program.ended() == 0
        assert await program.rest() == "no end of line"
        assert (await program.rest(2)).splitlines() == ["completed 100 %  The task is complete"]


async def test_a_closed_pipe_ends_the_command_quietly(tasks: TasksServer) -> None:
    job = await tasks.job()
    async with started("tasks", "watch", job.id, "--url", tasks.url) as program:
        await program.line()
        assert program.process.stdout is not None
        await program.process.stdout.aclose()
        assert await program.ended() == 128 + signal.SIGPIPE
        assert await program.rest(2) == ""


# --- lost connections -------------------------------------------------------------------------------


async def test_lost_connections_neither_lose_nor_repeat_lines(tasks: TasksServer) -> None:
    job = await tasks.job()
    # The task's position in the log lies before the head.
    await tasks.server.streamd.publish("elsewhere", "something else")
    said = []
    async with started("tasks", "watch", job.id, "--text", "--url", tasks.url) as program:
        assert await program.says("running") == "running     0 %"
        for turn in range(3):
            await job.update(text=f"{turn}a ", progress=20 * turn + 1)
            said.append(await program.line(2))
            await tasks.server.streamd.publish("elsewhere", "something else")
            for connection in list(tasks.server.streamd.connections):
                connection.close("maintenance")
            await program.says("reconnecting in")
            await job.update(text=f"{turn}b", message="first")
            await job.update(message="second")
            await job.update(text="\n", message="third")
            lines = [await program.line(2) for _ in range(4)]
            assert lines[0] == "connected again"
            said += lines[1:]
            assert await program.line() == f"{turn}a {turn}b"
        await job.complete(None)
        assert await program.ended() == 0
        assert await program.rest(2) == "completed 100 %  The task is complete\n"
        assert await program.rest() == ""
    # The progress of each turn still has the message of the turn before.
    words = [[word for word in line.split() if word in ("first", "second", "third")] for line in said]
    assert words == [[], *[["first"], ["second"], ["third"], ["third"]] * 3][:-1]
    assert [line.split()[1] for line in said] == [figure for figure in ("1", "21", "41") for _ in range(4)]


async def test_watching_survives_a_restart_of_the_server(tmp_path: Path) -> None:
    settings = attrs.evolve(QUICKLY, store=StoreSettings(url=f"sqlite:{tmp_path / 'tasks.db'}"))
    async with restartable(settings) as servers, httpx.AsyncClient() as http:

        async def report(**fields: Any) -> None:
            answer = await http.patch(f"{url}/tasks/a", json={"lease": lease, **fields})
            assert answer.status_code == 200, answer.text

        url = (await servers.start()).url
        body = {"kind": "far", "id": "a", "worker": "w", "lease_seconds": 60}
        lease = (await http.post(f"{url}/tasks", json=body)).json()["lease"]
        async with started("tasks", "watch", "a", "--text", "--url", url) as program:
            await program.says("running     0 %")
            await report(progress=10, text="one ")
            await program.says("running    10 %")
            await servers.stop()
            await program.says("reconnecting in")
            await servers.start()
            await report(progress=50, message="half", text="two ")
            await program.says("running    50 %  half")
            await report(status="completed", result=7)
            assert await program.ended() == 0
            assert (await program.rest(2)).splitlines() == ["completed 100 %  The task is complete"]
            assert await program.rest() == "one two "


async def test_a_task_lost_in_a_restart_is_an_error() -> None:
    async with restartable(QUICKLY) as servers:
        server = await servers.start()
        await server.streamd.tasks.create("far", id="a")
        async with started("tasks", "watch", "a", "--url", server.url) as program:
            assert await program.line() == "pending     0 %"
            await servers.stop()
            await program.says("reconnecting in")
            await servers.start()
            assert await program.ended() == 1
            assert "Error: there is no task" in await program.says("(404 not-found")


# --- on a terminal ----------------------------------------------------------------------------------


async def test_a_terminal_has_a_progress_bar_with_steps_and_text(tasks: TasksServer) -> None:
    job = await tasks.job(id="a", steps=("plan", "write"))

    async def plan(progress: Any) -> None:
        async with progress.step("plan", message="looking \u202e") as step:
            await step.update(50)

    async with started_on_terminal("tasks", "watch", "a", "--text", "--url", tasks.url) as (
        program,
        terminal,
    ):
        assert HIDE in await terminal.until("job a")
        await terminal.until("running")
        await job.do(plan)
        await terminal.until(" 50 %")
        assert r"1/2 plan: looking \u202e" in await terminal.until("✓")
        await job.update(
            text="first\u202e line\nsecond", message="writing", educational_content="Bars are old."
        )
        await terminal.until("first\\u202e line\r\n")
        await terminal.until("second")
        await terminal.until("Bars are old.")
        for connection in list(tasks.server.streamd.connections):
            connection.close("maintenance")
        await terminal.until("reconnecting in")
        await job.complete(None)
        assert await program.ended() == 0
        rest = await terminal.rest()
    last = rest.rpartition("job a")[2]
    assert "completed" in last
    assert "100 %" in last
    assert "reconnecting" not in last
    assert last.endswith(SHOW)
    assert "\u202e" not in rest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_restores_the_terminal_and_leaves_the_task_running(
    tasks: TasksServer, number: signal.Signals
) -> None:
    job = await tasks.job(id="a")
    async with started_on_terminal("tasks", "watch", "a", "--url", tasks.url) as (program, terminal):
        await job.update(progress=30, message="on it")
        assert HIDE in await terminal.until("30 %")
        program.signal(number)
        assert await program.ended() == 128 + number
        rest = await terminal.rest()
    assert SHOW in rest
    assert HIDE not in rest.rpartition(SHOW)[2]
    assert rest.endswith("interrupted; the task goes on, and is cancelled by: streamd tasks cancel a\r\n")
    assert "Traceback" not in rest
    assert not (await tasks.tasks.get("a")).status.ended
    await job.update(progress=31)


async def test_an_error_is_printed_below_the_bar(tasks: TasksServer) -> None:
    job = await tasks.job(id="a")
    async with started_on_terminal("tasks", "watch", "a", "--url", tasks.url) as (program, terminal):
        await terminal.until("running")
        await job.fail("it \u202ebroke", code="broken")
        assert await program.ended() == 1
        rest = await terminal.rest()
    assert r"it \u202ebroke (broken)" in rest
    assert rest.endswith(SHOW)


async def test_a_dumb_terminal_gets_lines(tasks: TasksServer) -> None:
    job = await tasks.job(id="a")
    await job.complete(1)
    arguments = ("tasks", "watch", "a", "--url", tasks.url)
    async with started_on_terminal(*arguments, TERM="dumb") as (program, terminal):
        assert await program.ended() == 0
        assert await terminal.rest() == "completed 100 %  The task is complete\r\n"
