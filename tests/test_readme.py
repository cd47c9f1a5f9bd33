"""The code blocks of the README, run unchanged but for the port."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trio
from quart_trio import QuartTrio

from streamd.testing import open_stream, run_server
from tests.support.program import started

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
_BLOCK = re.compile(r"<!-- test: (?P<name>\w+) -->\n```\w+\n(?P<text>.*?)```", re.DOTALL)
BLOCKS = [(match["name"], match["text"]) for match in _BLOCK.finditer(README)]
DEFAULT_URL = "http://127.0.0.1:8080"


def blocks(name: str) -> list[str]:
    found = [text for named, text in BLOCKS if named == name]
    assert found, f"the README has no block named {name}"
    return found


def load_app(name: str) -> QuartTrio:
    namespace: dict[str, object] = {"__name__": "shop"}
    exec(compile(blocks(name)[0], "README.md", "exec"), namespace)
    app = namespace["app"]
    assert isinstance(app, QuartTrio)
    return app


async def run_until(arguments: list[str], enough: bytes) -> bytes:
    """Run a program until its output contains `enough`, or until it ends; return the output."""
    process = await trio.lowlevel.open_process(arguments, stdout=subprocess.PIPE, cwd=ROOT)
    output = b""
    assert process.stdout is not None
    try:
        with trio.fail_after(30):
            while enough not in output:
                part = await process.stdout.receive_some()
                if not part:
                    break
                output += part
    finally:
        process.kill()
        await process.wait()
    return output


async def test_curl_commands_publish_and_read_the_same_event() -> None:
    publish, stream, poll = blocks("curl")
    async with run_server() as server:

        def command(text: str) -> list[str]:
            return ["bash", "-c", text.replace(DEFAULT_URL, server.url)]

        published = await run_until(command(publish), b"}")
        event_id = published.decode().split('"')[3]
        assert f"id: {event_id}\nevent: stage\n".encode() in await run_until(command(stream), b"60}\n\n")
        assert event_id.encode() in await run_until(command(poll), b'"gap":null}')


async def test_task_commands_create_and_follow_a_task() -> None:
    make, follow = blocks("task")
    async with run_server() as server:
        made = await run_until(["bash", "-c", make.replace(DEFAULT_URL, server.url)], b'"lease_until"')
        assert b'"id":"import-7"' in made
        assert b'"message":"half of the file"' in made
        stream = ["bash", "-c", follow.replace(DEFAULT_URL, server.url)]
        assert b'"message":"half of the file"' in await run_until(stream, b'"snapshot":true')


async def test_library_example_streams_the_events_of_its_view() -> None:
    async with run_server(app=load_app("library")) as server, httpx.AsyncClient() as http:
        async with open_stream(server.url, path="/orders/7/events") as reader:
            answer = await http.post(f"{server.url}/orders/7/packed")
            event = await reader.next_event()
            assert event is not None
            assert (event.type, event.data) == ("stage", '{"stage":"packed"}')
            assert event.last_event_id == answer.json()["id"]


async def test_generator_example_counts_down_and_ends() -> None:
    async with run_server(app=load_app("generator")) as server:
        async with open_stream(server.url, path="/countdown") as reader:
            assert [event.data for event in await reader.take(3)] == [f'{{"number":{n}}}' for n in (3, 2, 1)]
            assert await reader.next_event() is None


async def test_client_example_prints_its_own_event() -> None:
    async with run_server() as server:
        script = blocks("client")[0].replace(DEFAULT_URL, server.url)
        output = await run_until([sys.executable, "-c", script], b"\n")
        assert b'{"stage":"shipped"}' in output


async def test_service_block_is_the_example_and_imports_a_file() -> None:
    source, serve, post = blocks("service")
    example = ROOT / "conf" / "examples" / "csv_import.py"
    assert example.read_text().endswith(source)
    arguments = shlex.split(serve.partition("&& streamd ")[2].replace("8081", "0"))
    path = f"{example.parent}:{ROOT}"
    async with started(*arguments, PYTHONPATH=path) as program:
        url = (await program.line()).split()[-1]
        command = post.replace("http://127.0.0.1:8081", url)
        accepted = json.loads(await run_until(["bash", "-c", command], b"}"))
        async with httpx.AsyncClient(base_url=url) as http:
            stream = await http.get(accepted["eventsUrl"])
            assert '"result":{"rows":2}' in stream.text


async def test_configuration_in_the_repository_is_valid() -> None:
    [command] = blocks("config")
    arguments = [sys.executable, "-m", *command.split()]
    assert (await trio.run_process(arguments, cwd=ROOT, capture_stdout=True)).returncode == 0


@pytest.mark.parametrize(
    "target", sorted(set(re.findall(r"\bmake ([a-z]+)`|^make ([a-z]+)$", README, re.MULTILINE)))
)
def test_named_make_targets_exist(target: tuple[str, str]) -> None:
    assert re.search(rf"^{''.join(target)}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_examples_are_short() -> None:
    for name in ("library", "generator"):
        assert len(blocks(name)[0].strip().splitlines()) < 15
