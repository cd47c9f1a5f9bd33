"""Unix sockets: the file, its permissions and its end; clients without an address."""

import errno
import fcntl
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio
from structlog.testing import capture_logs
from trio_websocket import wrap_client_stream

from streamd.connections.settings import ConnectionSettings
from streamd.errors import ConfigError
from streamd.limits.settings import LimitSettings
from streamd.server import check_addresses, open_sockets
from streamd.server.settings import ServerSettings
from streamd.server.unix_sockets import open_unix_listener
from streamd.settings import Settings
from streamd.testing import RunningServer, run_server
from tests.support.log_lines import faults
from tests.support.plain import NO_SERVICES

SETTINGS = Settings(**NO_SERVICES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "streamd.sock"


@asynccontextmanager
async def serving(
    path: Path, settings: Settings = SETTINGS
) -> AsyncIterator[tuple[RunningServer, httpx.AsyncClient]]:
    """Run a server on a path; yields it and a client."""
    with trio.fail_after(30):
        async with run_server(settings, bind=f"unix:{path}") as server:
            transport = httpx.AsyncHTTPTransport(uds=str(path))
            async with httpx.AsyncClient(base_url="http://localhost", transport=transport) as http:
                yield server, http


def bound_to(path: Path, **server: Any) -> ServerSettings:
    return ServerSettings(bind=[f"unix:{path}"], **server)


# --- the file -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "mode"), [("0666", 0o666), ("0600", 0o600), ("660", 0o660)])
def test_the_file_has_the_permissions_of_the_setting(path: Path, text: str, mode: int) -> None:
    before = os.umask(0o077)
    try:
        [sock] = open_sockets(bound_to(path, unix_mode=text))
    finally:
        os.umask(before)
    with sock:
        assert stat.S_IMODE(path.lstat().st_mode) == mode
        assert stat.S_ISSOCK(path.lstat().st_mode)


def test_closing_removes_the_file(path: Path) -> None:
    [sock] = open_sockets(bound_to(path))
    sock.close()
    assert not path.exists()
    sock.close()


def test_closing_leaves_the_file_of_a_successor(path: Path) -> None:
    first = open_unix_listener(str(path), 0o600, 10)
    path.unlink()
    with open_unix_listener(str(path), 0o600, 10):
        first.close()
        assert path.exists()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_process_that_inherits_the_socket_leaves_the_file(path: Path) -> None:
    with open_unix_listener(str(path), 0o600, 10) as sock:
        socket.socket(fileno=os.dup(sock.fileno())).close()
        assert path.exists()


def test_the_file_of_a_server_that_was_killed_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
        killed.listen()
    assert path.exists()
    with open_unix_listener(str(path), 0o600, 10), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


@pytest.mark.parametrize("backlog", [0, 10], ids=["full", "free"])
def test_a_socket_on_which_somebody_listens_is_kept(path: Path, backlog: int) -> None:
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as client:
        other.bind(str(path))
        other.listen(backlog)
        client.connect(str(path))
        inode = path.lstat().st_ino
        with pytest.raises(ConfigError, match="in use") as raised:
            open_sockets(bound_to(path))
        assert raised.value.field == "server.bind"
        assert path.lstat().st_ino == inode


@pytest.mark.parametrize("kind", ["file", "folder", "link to a file", "link to nothing"])
def test_whatever_is_no_socket_is_kept(path: Path, kind: str) -> None:
    if kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_text("precious")
    else:
        target = path.with_name("target")
        if kind == "link to a file":
            target.write_text("precious")
        path.symlink_to(target)
    with pytest.raises(ConfigError, match="no socket"):
        open_sockets(bound_to(path))
    assert path.is_symlink() or path.exists()
    assert [error.field for error in check_addresses(bound_to(path))] == ["server.bind"]


def test_two_servers_that_start_at_once_take_turns(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with pytest.raises(OSError) as raised:
            open_unix_listener(str(path), 0o600, 10)
    finally:
        os.close(folder)
    assert raised.value.errno == errno.EADDRINUSE
    open_unix_listener(str(path), 0o600, 10).close()


def test_an_error_of_another_address_removes_the_file(path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        binds = [f"unix:{path}", f"127.0.0.1:{taken.getsockname()[1]}"]
        with pytest.raises(ConfigError):
            open_sockets(ServerSettings(bind=binds))
    assert not path.exists()


def test_the_check_creates_nothing(path: Path) -> None:
    assert list(check_addresses(bound_to(path))) == []
    assert not path.exists()
    [error] = check_addresses(bound_to(path.parent / "missing" / "streamd.sock"))
    assert "No such file" in error.detail
    with open_unix_listener(str(path), 0o600, 10):
        assert list(check_addresses(bound_to(path))) == []  # may be the server that is checked


# --- clients --------------------------------------------------------------------------------------


async def test_the_server_serves_and_removes_its_file_when_it_stops(path: Path) -> None:
    async with serving(path) as (server, http):
        assert server.addresses == (f"unix:{path}",)
        assert (await http.get("/health/ready")).status_code == 200
        assert (await http.get("/")).status_code == 200
        server.stop()
    assert not await trio.Path(path).exists()


async def test_a_server_that_is_cancelled_removes_its_file(path: Path) -> None:
    async with serving(path):
        assert await trio.Path(path).exists()
    assert not await trio.Path(path).exists()


async def test_without_keys_clients_are_local_and_have_no_address(path: Path) -> None:
    """Everything but reserved topics is open, no limit of an address applies, and log lines have none."""
    connections = ConnectionSettings(control=True, max_per_address=1)
    with capture_logs() as logs:
        async with serving(path, attrs.evolve(SETTINGS, connections=connections)) as (_, http):
            answers = []
            for number in range(3):
                url = f"/events?topic=a&client_id=c{number}"
                answers.append(await http.send(http.build_request("GET", url), stream=True))
            assert [answer.status_code for answer in answers] == [200] * 3
            listed = (await http.get("/connections")).json()
            assert [each["address"] for each in listed["connections"]] == [""] * 3
            published = await http.post("/events", json={"topic": "a", "data": 1})
            assert published.status_code == 201
            refused = await http.post("/events", json={"topic": "tasks/1", "data": 1})
            assert refused.json()["code"] == "reserved-topic"
            assert (await http.delete("/connections/c0")).status_code == 204
            for answer in answers:
                await answer.aclose()
    assert [line for line in faults(logs) if "control" not in line["event"]] == []


async def test_control_is_refused_behind_a_proxy_that_shows(path: Path) -> None:
    settings = attrs.evolve(SETTINGS, connections=ConnectionSettings(control=True))
    async with serving(path, settings) as (_, http):
        answer = await http.delete("/connections/me", headers={"X-Forwarded-For": "192.0.2.1"})
        assert answer.json()["code"] == "forbidden"


@pytest.mark.parametrize(("trusted", "wanted"), [(["unix"], "192.0.2.1"), (["127.0.0.1"], "")])
async def test_a_trusted_proxy_names_the_client(path: Path, trusted: list[str], wanted: str) -> None:
    settings = attrs.evolve(SETTINGS, server=attrs.evolve(SETTINGS.server, trusted_proxies=trusted))
    async with serving(path, settings) as (server, http):
        headers = {"X-Forwarded-For": "192.0.2.1"}
        async with http.stream("GET", "/events?topic=a&client_id=me", headers=headers):
            assert server.streamd.connections.find("me").identity.address == wanted


async def test_the_rates_of_clients_without_an_address_are_one(path: Path) -> None:
    """Whatever route a request takes, it draws from the same account."""
    settings = attrs.evolve(SETTINGS, limits=LimitSettings(publish_per_second=0.001, publish_burst=2))
    async with serving(path, settings) as (_, http):
        body = {"topic": "a", "data": 1}
        first = await http.post("/events", json=body)
        lines = await http.post(
            "/events", content=b'{"topic":"a","data":1}\n', headers={"Content-Type": "application/x-ndjson"}
        )
        assert [first.status_code, lines.status_code] == [201, 200]
        assert (await http.post("/events", json=body)).status_code == 429


async def test_names_of_the_server_are_checked_as_on_the_loopback(path: Path) -> None:
    settings = attrs.evolve(SETTINGS, server=attrs.evolve(SETTINGS.server, hosts=["localhost"]))
    async with serving(path, settings) as (_, http):
        assert (await http.get("/connections", headers={"Host": "localhost"})).status_code == 200
        assert (await http.get("/connections", headers={"Host": "evil.example"})).status_code == 421


async def test_a_websocket_and_http2_work_on_a_unix_socket(path: Path) -> None:
    async with serving(path) as (server, _), trio.open_nursery() as nursery:
        stream = await trio.open_unix_socket(str(path))
        websocket = await wrap_client_stream(nursery, stream, "localhost", "/events?topic=a&client_id=ws")
        assert '"connected"' in await websocket.get_message()
        await server.streamd.publish("a", "one")
        assert '"one"' in await websocket.get_message()
        await websocket.aclose()
        transport = httpx.AsyncHTTPTransport(uds=str(path), http1=False, http2=True)
        async with httpx.AsyncClient(base_url="http://localhost", transport=transport) as http2:
            answer = await http2.get("/health/live")
            assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)


async def test_a_client_that_stops_reading_is_ended(path: Path) -> None:
    """Progress of queued bytes is measured without TCP."""
    connections = ConnectionSettings(unhealthy_seconds=0.2, stale_seconds=0.4, sweep_seconds=0.05)
    async with serving(path, attrs.evolve(SETTINGS, connections=connections)) as (server, _):
        async with await trio.open_unix_socket(str(path)) as stream:
            await stream.send_all(b"GET /events?topic=a&client_id=me HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"connected" in await stream.receive_some()
            while server.streamd.connections.statistics()["active"]:
                await server.streamd.publish("a", "x" * 60_000)
                await trio.lowlevel.checkpoint()
