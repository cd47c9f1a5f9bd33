"""The code blocks of the README, run unchanged but for the port."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trio
from quart_trio import QuartTrio

from streamd.connections import ConnectionSettings
from streamd.database import StoreSettings
from streamd.settings import Settings
from streamd.testing import open_stream, run_server
from tests.support.program import environment, started
from tests.support.tokens import SECRET, auth_settings

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


async def run_until(
    arguments: list[str], enough: bytes, url: str = DEFAULT_URL, folder: Path = ROOT, **variables: str
) -> bytes:
    """Run a program until its output contains `enough`, or until it ends; return the output."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {**environment(STREAMD_URL=url, **variables), "PATH": path}
    process = await trio.lowlevel.open_process(arguments, stdout=subprocess.PIPE, cwd=folder, env=environ)
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


def in_bash(*scripts: str) -> list[str]:
    return ["bash", "-c", "\n".join(scripts)]


async def test_curl_commands_publish_and_read_the_same_event() -> None:
    publish, stream, poll = blocks("curl")
    async with run_server() as server:
        for _ in range(2):  # pasted twice
            published = await run_until(in_bash(publish), b"}", server.url)
            event_id = published.decode().split('"')[3]
            data = '{"stage":"packed","progress":60}'
            event = f"event: stage\ndata: {data}\nid: {event_id}\n\n".encode()
            assert event in await run_until(in_bash(stream), event, server.url)
            assert event_id.encode() in await run_until(in_bash(poll), b'"gap":null}', server.url)


async def test_a_token_publishes_and_reads_what_it_grants() -> None:
    [commands] = blocks("access")
    settings = Settings(auth=auth_settings())
    async with run_server(settings) as server:
        output = await run_until(in_bash(commands), b"paid\n", server.url, STREAMD_AUTH__KEYS=SECRET)
        assert b'{"id":"' in output
        assert output.endswith(b"paid\n")
        async with httpx.AsyncClient(base_url=server.url) as http:
            assert (await http.get("/events/poll?topic=orders/7")).status_code == 401


async def test_the_log_of_a_server_is_counted_exported_and_backed_up(tmp_path: Path) -> None:
    [commands] = blocks("log")
    async with run_server(Settings(store=StoreSettings(url=f"sqlite:{tmp_path / 'streamd.db'}"))) as server:
        ids = [await server.streamd.publish("clock", str(n)) for n in range(3)]
        output = await run_until(in_bash(commands), b"never", folder=tmp_path)
        assert re.search(rb"events +[1-9]", output)
        ids.append(await server.streamd.publish("clock", "later"))
        await run_until(in_bash(*commands.splitlines()[:2]), b"never", folder=tmp_path)
        exported = map(json.loads, (await trio.Path(tmp_path / "events.ndjson").read_text()).splitlines())
        # A service publishes its figures every half minute, which a slow machine may reach.
        assert [event["id"] for event in exported if event["topics"] == ["clock"]] == ids
    [backup] = await trio.to_thread.run_sync(lambda: list(tmp_path.glob("backup-*.db")))
    async with run_server(Settings(store=StoreSettings(url=f"sqlite:{backup}"))) as server:
        assert server.streamd.head > ids[-1]


async def test_lines_of_a_command_reach_a_subscriber_and_one_with_a_cursor_file(tmp_path: Path) -> None:
    [subscribe], [publish], [cursor] = blocks("subscribe"), blocks("publish"), blocks("cursor")
    assert "--topic clock" in subscribe
    cursor = cursor.replace("clock.cursor", str(tmp_path / "clock.cursor"))
    publish = publish.replace("while date; do sleep 1; done", "date")
    async with run_server() as server:
        for _ in range(2):
            await run_until(in_bash(publish), b"never printed", server.url)
            assert b":" in await run_until(in_bash(cursor), b"\n", server.url), "date prints a time"


async def test_task_commands_create_follow_and_cancel_a_task() -> None:
    make, follow = blocks("task")
    [from_the_shell] = blocks("tasks")
    async with run_server() as server:
        for _ in range(2):
            made = await run_until(in_bash(make), b'"lease_until"', server.url)
            assert b'"name":"read","status":"running","progress":50' in made
            everything = in_bash(make, f"timeout 1 {follow}", from_the_shell)
            printed = await run_until(everything, b"never printed", server.url)
            assert b'"snapshot":true' in printed
            assert b'"name":"read","status":"running","progress":50' in printed
            assert b"no longer needed" in printed


async def test_library_example_streams_the_events_of_its_view() -> None:
    async with run_server(app=load_app("library")) as server, httpx.AsyncClient() as http:
        async with open_stream(server.url, path="/orders/7/events") as reader:
            answer = await http.post(f"{server.url}/orders/7/packed")
            event = await reader.next_event()
            assert event is not None
            assert (event.type, event.data) == ("stage", '{"stage":"packed"}')
            assert event.last_event_id == answer.json()["id"]


async def test_connections_example_sends_broadcasts_closes_and_shows_the_status() -> None:
    async with run_server(app=load_app("connections")) as server, httpx.AsyncClient() as http:
        async with open_stream(server.url, path="/inbox/ann") as reader:
            connected = await reader.next_control("connected")
            status = (await http.get(f"{server.url}/inbox/ann/status")).json()
            assert (status["id"], status["client_id"]) == (connected["connection_id"], "ann")
            assert (await http.post(f"{server.url}/inbox/ann/hello")).json() == {"sent": True}
            assert (await http.post(f"{server.url}/inboxes/hello")).json() == {"sent": 1}
            messages = await reader.take(2)
            assert [(message.type, message.data) for message in messages] == [
                ("notice", '{"text":"hello"}'),
                ("message", "hello"),
            ]
            assert (await http.delete(f"{server.url}/inbox/ann")).status_code == 204
            assert await reader.next_control("closing") == {"reason": "closed"}


async def test_connection_commands_reach_the_client_that_they_name() -> None:
    [commands] = blocks("operations")
    settings = Settings(connections=ConnectionSettings(control=True))
    async with run_server(settings) as server:
        for _ in range(2):
            async with open_stream(server.url, path="/events?topic=orders/7&client_id=ann") as reader:
                connected = await reader.next_control("connected")
                printed = await run_until(in_bash(commands), b"never printed", server.url)
                assert f'"id":"{connected["connection_id"]}","client_id":"ann"'.encode() in printed
                assert b'{"sent":1,"full":0}' in printed
                messages = await reader.take(2)
                assert [message.data for message in messages] == ['{"text":"hello"}', "closed at noon"]
                assert await reader.next_control("closing") == {"reason": "closed"}


async def test_generator_example_counts_down_and_ends() -> None:
    async with run_server(app=load_app("generator")) as server:
        async with open_stream(server.url, path="/countdown") as reader:
            assert [event.data for event in await reader.take(3)] == [f'{{"number":{n}}}' for n in (3, 2, 1)]
            assert await reader.next_event() is None


async def test_client_example_prints_its_own_event() -> None:
    async with run_server() as server:
        script = blocks("client")[0].replace(DEFAULT_URL, server.url)
        for _ in range(2):
            output = await run_until([sys.executable, "-c", script], b"\n")
            event_id, _, data = output.decode().strip().partition(" ")
            assert data == '{"stage":"shipped"}'
            assert event_id == server.streamd.head, "it prints the event that it has published"


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
            assert (await http.get(accepted["statusUrl"])).json()["status"] == "completed"
            assert (await http.get(accepted["resultUrl"])).json() == {"rows": 2}
            assert (await http.post(accepted["cancelUrl"])).status_code == 409  # it has ended


async def test_a_unix_socket_is_served_beside_localhost(tmp_path: Path) -> None:
    serve, ask = blocks("unix")
    path = str(tmp_path / "streamd.sock")
    arguments = shlex.split(serve.replace("/tmp/streamd.sock", path).replace("8080", "0"))
    async with started(*arguments[1:]) as program:
        *urls, unix = [line.split()[-1] for line in await program.lines(3)]
        assert [url.rpartition(":")[0] for url in urls] == ["http://127.0.0.1", "http://[::1]"]
        assert unix == f"unix:{path}"
        asked = in_bash(ask.replace("/tmp/streamd.sock", path))
        assert b'"ready"' in await run_until(asked, b"never printed")


async def test_configuration_in_the_repository_is_valid() -> None:
    [command] = blocks("config")
    arguments = [sys.executable, "-m", *command.split()]
    assert (await trio.run_process(arguments, cwd=ROOT, capture_stdout=True)).returncode == 0


@pytest.mark.parametrize(
    "target", sorted(set(re.findall(r"\bmake ([a-z]+)`|^make ([a-z]+)$", README, re.MULTILINE)))
)
def test_named_make_targets_exist(target: tuple[str, str]) -> None:
    assert re.search(rf"^{''.join(target)}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", ["README.md", "streamd/services/README.md"])
def test_lines_fit_a_terminal(page: str) -> None:
    long = [line for line in (ROOT / page).read_text().splitlines() if len(line) > 100]
    assert not long


def test_the_first_screen_says_the_category_and_who_may_do_what() -> None:
    first_screen = " ".join(README.splitlines()[:25])
    assert "real-time event server" in first_screen
    assert "Without keys, every client that reaches it may publish and read everything" in first_screen


def test_examples_are_short() -> None:
    for name in ("library", "generator"):
        assert len(blocks(name)[0].strip().splitlines()) < 15
