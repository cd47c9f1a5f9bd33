"""The sessions of the services' page against a real server."""

import re
from pathlib import Path

import httpx
import pytest
from quart_trio import QuartTrio

import streamd.services
from streamd.cli.check_services import PageSession, first_missing, read_sessions, run_session
from streamd.services.research.settings import ResearchSettings
from streamd.settings import Settings
from streamd.testing import open_stream, run_server
from tests.support.program import run

PAGE = (Path(streamd.services.__file__).parent / "README.md").read_text()
SESSIONS = read_sessions()


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.name)
async def test_a_session_prints_the_lines_of_the_page(session: PageSession) -> None:
    async with run_server() as server:
        outcome = await run_session(session, server.url)
    assert outcome.missing == "", outcome.output


def test_every_service_has_a_session() -> None:
    names = [name.replace("_", "-") for name in streamd.services.SERVICES]
    assert [session.name for session in SESSIONS] == ["tasks", *names]
    assert PAGE.count("<!-- session:") == len(SESSIONS)


async def test_the_command_runs_the_sessions_against_any_server() -> None:
    async with run_server() as server:
        done = await run("check-services", server.url, "--only", "research", "--only", "tasks")
    assert (done.returncode, done.stdout.split()) == (0, ["ok", "tasks", "ok", "research"]), done.stderr


async def test_a_failing_session_is_named_with_its_missing_line() -> None:
    async with run_server(Settings(research=ResearchSettings(enabled=False))) as server:
        done = await run("check-services", server.url, "--only", "research")
    assert done.returncode == 1
    assert "FAILED  research" in done.stdout
    assert "missing: {" in done.stdout
    assert "Traceback" not in done.stderr


async def test_an_absent_server_and_an_unknown_session_are_errors() -> None:
    done = await run("check-services", "http://127.0.0.1:1", "--only", "tasks")
    assert (done.returncode, done.stdout.split()[:2]) == (1, ["FAILED", "tasks"])
    done = await run("check-services", "--only", "astrology")
    assert done.returncode == 2
    assert "astrology" in done.stderr


@pytest.mark.parametrize(
    ("wanted", "output", "missing"),
    [
        (("a…c",), "xabcx", ""),
        (("a", "b"), "b\na", "b"),
        (("a…c",), "a\nc", "a…c"),
        (("a.c",), "abc", "a.c"),
        ((), "", ""),
    ],
)
def test_lines_are_expected_in_their_order(wanted: tuple[str, ...], output: str, missing: str) -> None:
    assert first_missing(wanted, output) == missing


async def test_the_pages_example_of_a_task_kind_streams() -> None:
    [text] = re.findall(r"<!-- test: work -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    namespace: dict[str, object] = {"__name__": "bakery"}
    exec(compile(text, "README.md", "exec"), namespace)
    app = namespace["app"]
    assert isinstance(app, QuartTrio)
    async with run_server(app=app) as server, httpx.AsyncClient(base_url=server.url) as http:
        task = (await http.post("/bread/12")).json()
        async with open_stream(server.url, path=f"/bread/{task['id']}/events") as reader:
            events = []
            while (event := await reader.next_event()) is not None:
                events.append(event)
        assert events[-1].type == "complete"
        assert '"result":{"loaves":12}' in events[-1].data
