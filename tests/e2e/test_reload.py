"""SIGHUP: certificates, log levels and limits are reloaded, and nothing ends."""

import json
import os
import pty
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

from streamd.testing import StreamRefused, open_stream
from tests.support.certificates import trusting, write_certificate
from tests.support.program import command, environment, started_on
from tests.support.server_process import ADDRESS, ServerProcess, server_process

BASE = '[logging]\nformat = "json"\n'


@attrs.frozen
class ReloadingServer:
    """A server with a configuration file."""

    process: ServerProcess
    file: Path

    async def reload(self, text: str, event: str = "configuration_reloaded") -> dict[str, Any]:
        """Write the file, send SIGHUP, and return the log line of the outcome."""
        self.file.write_text(BASE + text)
        self.process.program.signal(signal.SIGHUP)
        return await self.logged(event)

    async def logged(self, event: str) -> dict[str, Any]:
        """Wait for a log line of an event."""
        while True:
            entry: dict[str, Any] = json.loads(await self.process.program.line(2))
            if entry["event"] == event:
                return entry


@asynccontextmanager
async def reloading_server(
    tmp_path: Path, text: str = "", *options: str, **settings: Any
) -> AsyncIterator[ReloadingServer]:
    file = tmp_path / "streamd.toml"
    file.write_text(BASE + text)
    # Without the variable that sets the level, which would override the file.
    async with server_process("--config", str(file), *options, logging__level="", **settings) as process:
        yield ReloadingServer(process, file)


@pytest.mark.parametrize("store", ["memory:", "sqlite:{}/tasks.db"])
async def test_limits_are_reloaded_and_streams_go_on(store: str, tmp_path: Path) -> None:
    options = ("--store", store.format(tmp_path))
    async with (
        reloading_server(tmp_path, "[connections]\nmax_connections = 1\n", *options) as server,
        httpx.AsyncClient(base_url=server.process.url) as http,
        open_stream(server.process.url, topics=["a"]) as stream,
    ):
        await stream.next_control("connected")
        with pytest.raises(StreamRefused):
            async with open_stream(server.process.url, topics=["a"]):
                pass
        outcome = await server.reload("[connections]\nmax_connections = 2\n[tasks]\nmax_per_kind = 1\n")
        assert outcome["changed"] == ["connections.max_connections", "tasks.max_per_kind"]
        async with open_stream(server.process.url, topics=["a"]) as second:
            await second.next_control("connected")
        await http.post("/events", json={"topic": "a", "data": "still here"})
        event = await stream.next_event()
        assert event is not None
        assert event.data == "still here"
        statuses = [(await http.post("/tasks", json={"kind": "k"})).status_code for _ in range(2)]
        assert statuses == [201, 503]
        assert (await http.get("/connections")).json()["max_connections"] == 2
        # Those that are open beyond a lower limit stay.
        await server.reload("[connections]\nmax_connections = 1\n[tasks]\nmax_per_kind = 1\n")
        await http.post("/events", json={"topic": "a", "data": "still"})
        assert await stream.next_event() is not None
        server.process.program.signal(signal.SIGTERM)
        assert await server.process.exit_status(20) == 0


async def test_tables_of_a_list_are_reloaded(tmp_path: Path) -> None:
    rule = '[[log.retention]]\npattern = "a/**"\nmax_events = '
    async with reloading_server(tmp_path) as server:
        assert (await server.reload(f"{rule}5\n"))["changed"] == ["log.retention"]
        refused = await server.reload(f"{rule}5\n{rule}0\n", "reload_refused")
        [problem] = refused["problems"]
        assert problem.startswith("log.retention[1].max_events = 0 ")
        assert (await server.reload(f"{rule}5\n"))["changed"] == []
        assert (await server.reload(""))["changed"] == ["log.retention"]


async def test_log_levels_are_reloaded(tmp_path: Path) -> None:
    async with (
        reloading_server(tmp_path, 'level = "info"\n') as server,
        httpx.AsyncClient(base_url=server.process.url) as http,
    ):
        await http.get("/tasks")
        assert (await server.logged("request"))["route"] == "/tasks"
        outcome = await server.reload('level = "http=error,*=info"\n')
        assert outcome["changed"] == ["logging.level"]
        await http.get("/tasks")
        outcome = await server.reload('level = "http=info,*=info"\n')
        assert outcome["changed"] == ["logging.level"], "no line of the request came before"
        await http.get("/connections")
        assert (await server.logged("request"))["route"] == "/connections"


async def test_the_warning_of_slow_passes_is_switched_on(tmp_path: Path) -> None:
    app = ("--app", "tests.support.blocking_app:make")
    slow = "[server]\nslow_pass_ms = {}\n"
    async with (
        reloading_server(tmp_path, "", *app, server__slow_pass_ms="") as server,
        httpx.AsyncClient(base_url=server.process.url) as http,
    ):
        assert (await server.reload(slow.format(0)))["changed"] == ["server.slow_pass_ms"]
        await http.get("/block")
        assert (await server.reload(slow.format(200)))["changed"] == ["server.slow_pass_ms"]
        await http.get("/block")
        line = await server.logged("slow_pass")
        assert any("block" in function for function in line["ran"])
        assert (line["level"], line["others"]) == ("warning", 0)


async def test_operations_on_connections_are_switched_on_with_a_warning(tmp_path: Path) -> None:
    on, off = ("[connections]\ncontrol = true\n", "")
    async with (
        reloading_server(tmp_path) as server,
        httpx.AsyncClient(base_url=server.process.url) as http,
    ):
        assert (await http.post("/connections/broadcast", json={"data": 1})).status_code == 403
        assert (await server.reload(on))["changed"] == ["connections.control"]
        assert (await server.logged("connections_control_enabled"))["level"] == "warning"
        assert (await http.post("/connections/broadcast", json={"data": 1})).status_code == 200
        assert (await server.reload(off))["changed"] == ["connections.control"]
        assert (await http.post("/connections/broadcast", json={"data": 1})).status_code == 403


async def test_operations_on_connections_are_warned_of_at_the_start(tmp_path: Path) -> None:
    async with reloading_server(tmp_path, "[connections]\ncontrol = true\n") as server:
        await server.logged("connections_control_enabled")


async def test_the_format_of_log_lines_is_reloaded(tmp_path: Path) -> None:
    async with (
        reloading_server(tmp_path, 'level = "info"\n') as server,
        httpx.AsyncClient(base_url=server.process.url) as http,
    ):
        server.file.write_text('[logging]\nformat = "console"\n')
        server.process.program.signal(signal.SIGHUP)
        await server.process.program.says("configuration_reloaded")
        await http.get("/tasks")
        assert "route=/tasks" in await server.process.program.says("request")
        outcome = await server.reload("")
        assert outcome["changed"] == ["logging.format"]
        await http.get("/connections")
        assert (await server.logged("request"))["route"] == "/connections"


async def test_the_bound_on_log_lines_is_reloaded(tmp_path: Path) -> None:
    setting = "[tuning.logging]\nmax_lines_per_second = "
    async with (
        reloading_server(tmp_path, f"{setting}1_000_000\n") as server,
        httpx.AsyncClient(base_url=server.process.url) as http,
    ):
        outcome = await server.reload(f"{setting}1\n")
        assert outcome["changed"] == ["tuning.logging.max_lines_per_second"]

        async def request_for_ever() -> None:
            while True:
                await http.get("/tasks")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(request_for_ever)
            assert (await server.logged("lines_suppressed"))["suppressed"] == "request"
            nursery.cancel_scope.cancel()
        await server.reload(f"{setting}1_000_000\n")
        for _ in range(20):
            await http.get("/connections")
            while (await server.logged("request"))["route"] != "/connections":
                pass


async def serial_number(url: str) -> str:
    """Connect, and return the serial number of the server's certificate."""
    host, port = url.removeprefix("https://").split(":")
    stream = await trio.open_ssl_over_tcp_stream(host, int(port), ssl_context=trusting())
    async with stream:
        await stream.do_handshake()
        return str(stream.getpeercert()["serialNumber"])


async def test_certificates_are_reloaded_for_new_connections(tmp_path: Path) -> None:
    file = write_certificate(tmp_path)
    text = f'[server]\ncertfile = "{file}"\nkeyfile = "{file}"\n'
    async with reloading_server(tmp_path, text) as server:
        url = server.process.url
        assert url.startswith("https://")
        before = await serial_number(url)
        async with httpx.AsyncClient(base_url=url, verify=trusting()) as kept:
            assert (await kept.get("/health/live")).status_code == 200
            write_certificate(tmp_path)
            outcome = await server.reload(text)
            assert outcome["changed"] == [], "the files have the same names"
            after = await serial_number(url)
            assert after != before
            assert await serial_number(url) == after
            assert (await kept.get("/health/live")).status_code == 200
        other = tmp_path / "other"
        other.mkdir()
        file = write_certificate(other)
        moved = f'[server]\ncertfile = "{file}"\nkeyfile = "{file}"\n'
        assert (await server.reload(moved))["changed"] == ["server.certfile", "server.keyfile"]
        assert await serial_number(url) not in (before, after)
        await trio.Path(file).write_text("no certificate")
        refused = await server.reload(moved, "reload_refused")
        assert any(problem.startswith("server.certfile: ") for problem in refused["problems"])
        assert await serial_number(url) not in (before, after), "the one before stays in use"
        write_certificate(other)
        postponed = await server.reload("", "settings_need_restart")
        assert postponed["settings"] == ["server.certfile", "server.keyfile"], "TLS cannot be switched off"
        await serial_number(url)


async def test_settings_that_need_a_restart_are_named(tmp_path: Path) -> None:
    async with reloading_server(tmp_path) as server:
        text = (
            "[server]\ndrain_seconds = 1\n[connections]\nmax_connections = 50\n"
            '[store]\nsynchronous = "full"\n'
        )
        assert (await server.reload(text))["changed"] == ["connections.max_connections"]
        postponed = await server.logged("settings_need_restart")
        assert (postponed["level"], postponed["settings"]) == (
            "warning",
            ["server.drain_seconds", "store.synchronous"],
        )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[connections]\nmax_connections = 0\n", "connections.max_connections = 0"),
        ("[conections]\n", "[conections]"),
        ("[connections\n", "the file is not valid TOML"),
        ('[research]\nareas_file = "/nowhere.toml"\n', "research.areas_file: /nowhere.toml cannot be read"),
        ("[connections]\nmax_connections = 100000000\n", "raise the hard limit of open files"),
    ],
)
async def test_an_invalid_file_changes_nothing_and_is_logged(tmp_path: Path, text: str, problem: str) -> None:
    async with (
        reloading_server(tmp_path, "[connections]\nmax_connections = 7\n") as server,
        httpx.AsyncClient(base_url=server.process.url) as http,
    ):
        refused = await server.reload(text, "reload_refused")
        assert refused["level"] == "error"
        assert any(problem in line for line in refused["problems"])
        assert (await http.get("/connections")).json()["max_connections"] == 7
        server.file.unlink()
        server.process.program.signal(signal.SIGHUP)
        assert "cannot be read" in str((await server.logged("reload_refused"))["problems"])
        assert (await server.reload("[connections]\nmax_connections = 8\n"))["changed"]
        assert (await http.get("/connections")).json()["max_connections"] == 8


async def test_many_signals_end_nothing_also_during_the_shutdown(tmp_path: Path) -> None:
    async with (
        reloading_server(tmp_path, "[server]\ndrain_seconds = 20\n") as server,
        open_stream(server.process.url, topics=["a"]) as stream,
    ):
        await stream.next_control("connected")
        for _ in range(20):
            server.process.program.signal(signal.SIGHUP)
        await server.logged("configuration_reloaded")
        server.process.program.signal(signal.SIGTERM)
        for _ in range(20):
            server.process.program.signal(signal.SIGHUP)
        assert await stream.next_control("closing") == {"reason": "shutdown"}
        assert await stream.next_block() is None
        assert await server.process.exit_status(30) == 0


async def test_an_application_of_a_program_gets_certificates_levels_and_limits(tmp_path: Path) -> None:
    (tmp_path / "shop_to_reload.py").write_text(
        "from quart_trio import QuartTrio\n"
        "from streamd import Streamd\n"
        "def make(settings):\n"
        "    print('made')\n"
        "    app = QuartTrio(__name__)\n"
        "    streamd = Streamd(app, settings=settings)\n"
        "    @app.get('/limit')\n"
        "    async def limit():\n"
        "        return {'limit': streamd.settings.connections.max_connections}\n"
        "    return app\n"
    )
    file = tmp_path / "streamd.toml"
    file.write_text(BASE)
    options = ("--config", str(file), "--app", "shop_to_reload:make")
    path = f"{tmp_path}:{Path.cwd()}"
    variables = {"PYTHONPATH": path, "STREAMD_LOGGING__LEVEL": ""}
    async with server_process_with(*options, variables=variables) as server:
        async with httpx.AsyncClient(base_url=server.process.url) as http:
            outcome = await server.reload("[connections]\nmax_connections = 5\n")
            assert outcome["changed"] == ["connections.max_connections"]
            assert (await http.get("/limit")).json() == {"limit": 5}


@asynccontextmanager
async def server_process_with(*options: str, variables: dict[str, str]) -> AsyncIterator[ReloadingServer]:
    """Run a server that prints a line of its own before its address."""
    arguments = ("serve", "--bind", "127.0.0.1:0", *options)
    async with started_on(*arguments, variables=variables) as program:
        assert await program.line() == "made"
        url = (await program.line()).removeprefix(ADDRESS)
        yield ReloadingServer(ServerProcess(url, program), Path(options[1]))


async def test_a_closed_terminal_shuts_the_server_down(tmp_path: Path) -> None:
    """The kernel sends SIGHUP when the terminal is closed; a reload would leave the server behind."""
    arguments = command("serve", "--bind", "127.0.0.1:0")
    pid, terminal = await trio.to_thread.run_sync(fork_on_terminal, arguments)
    with trio.fail_after(60):
        said = b""
        while ADDRESS.encode() not in said:
            said += await trio.to_thread.run_sync(os.read, terminal, 4096)
        os.close(terminal)
        _, status = await trio.to_thread.run_sync(os.waitpid, pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def fork_on_terminal(arguments: list[str]) -> tuple[int, int]:
    """Run a command with a terminal of its own; return its process id and the terminal."""
    pid, terminal = pty.fork()
    if not pid:
        os.execve(arguments[0], arguments, environment())
    return pid, terminal
