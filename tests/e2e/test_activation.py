"""Sockets of the service manager, Unix sockets and ``--workers``: the whole program."""

import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio

from tests.support.program import SECONDS, Program, environment, started_on
from tests.support.server_process import ADDRESS
from tests.support.unshared_workers import MODULE

# Runs a module of Python with descriptors from 3 on and variables with its own process id, as systemd does.
START = """
import os, sys
module, *numbers = sys.argv[1].split(",")
copies = [os.dup(int(number)) for number in numbers]
for place, copy in enumerate(copies, 3):
    os.dup2(copy, place)
    os.set_inheritable(place, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(numbers)), LISTEN_FDNAMES="a:b")
os.execv(sys.executable, [sys.executable, "-m", module, *sys.argv[2:]])
"""


@asynccontextmanager
async def activated(
    sockets: Sequence[socket.socket], *arguments: str, module: str = "streamd", **variables: str
) -> AsyncIterator[Program]:
    """Run ``streamd serve`` with listening sockets."""
    numbers = [sock.fileno() for sock in sockets]
    names = ",".join([module, *map(str, numbers)])
    with trio.fail_after(SECONDS):
        process = await trio.lowlevel.open_process(
            [sys.executable, "-c", START, names, "serve", *arguments],
            stdin=-1,
            stdout=-1,
            stderr=-1,
            env=environment(**variables),
            pass_fds=numbers,
        )
        try:
            yield Program(process)
        finally:
            if process.returncode is None:
                process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                assert pipe is not None
                await trio.aclose_forcefully(pipe)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "streamd.sock"


def inode_of(path: Path) -> int:
    """Return the number of a file; 0 if there is none."""
    return path.lstat().st_ino if path.exists() else 0


async def ask(url: str, path: str = "/health/ready", *, unix: Path | None = None) -> int:
    transport = httpx.AsyncHTTPTransport(uds=str(unix)) if unix else None
    async with httpx.AsyncClient(base_url=url, transport=transport) as http:
        return (await http.get(path)).status_code


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.soak)])
async def test_sockets_of_the_service_manager_outlive_the_server(path: Path, workers: int) -> None:
    """They take the place of ``--bind``, and a client that comes between two servers waits for the second."""
    options = ["--bind", "127.0.0.1:0", "--workers", str(workers)]
    module = "streamd" if workers == 1 else MODULE
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        unix.listen()
        url = f"http://127.0.0.1:{tcp.getsockname()[1]}"
        async with activated([tcp, unix], *options, module=module) as program:
            assert await program.lines(2) == [f"{ADDRESS}{url}", f"{ADDRESS}unix:{path}"]
            assert await ask(url) == 200
            assert await ask("http://localhost", unix=path) == 200
            assert await ask("http://localhost", "/connections", unix=path) == 200
            program.signal(signal.SIGTERM)
            assert await program.ended() == 0
            assert "Traceback" not in await program.rest(2)
        async with await trio.open_tcp_stream("127.0.0.1", tcp.getsockname()[1]) as client:
            await client.send_all(
                b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )
            async with activated([tcp, unix], *options, module=module) as program:
                assert b'"alive"' in b"".join([bytes(part) async for part in client])
                program.signal(signal.SIGTERM)
                assert await program.ended() == 0
        assert inode_of(path)


@pytest.mark.parametrize("workers", [1, 2])
async def test_the_server_needs_no_permission_to_open_the_sockets(path: Path, workers: int) -> None:
    """Its addresses are not tried: here nobody could open them, as with a port below 1024."""
    folder = path.parent / "folder"
    folder.mkdir()
    module = "streamd" if workers == 1 else MODULE
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(folder / "streamd.sock"))
        unix.listen()
        (folder / "streamd.sock").rename(path)
        folder.rmdir()
        options = ("--workers", str(workers), "--log-level", "info")
        async with activated([unix], *options, module=module) as program:
            assert await program.line() == f"{ADDRESS}unix:{folder / 'streamd.sock'}"
            assert await ask("http://localhost", unix=path) == 200
            program.signal(signal.SIGHUP)
            for _ in range(workers):
                await program.says("configuration_reloaded")
            program.signal(signal.SIGTERM)
            assert await program.ended() == 0


async def test_without_keys_a_socket_for_other_machines_is_refused() -> None:
    with socket.create_server(("0.0.0.0", 0)) as tcp:
        async with activated([tcp], "--bind", "127.0.0.1:0") as program:
            assert await program.ended() == 2
            assert "other machines reach 0.0.0.0" in await program.rest(2)


async def test_a_descriptor_that_does_not_listen_is_an_error() -> None:
    one, two = socket.socketpair()
    with one, two:
        async with activated([one]) as program:
            assert await program.ended() != 0
            text = await program.rest(2)
            assert "Accept=no" in text
            assert "Traceback" not in text


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.soak)])
async def test_a_unix_socket_survives_a_reload_and_is_removed_at_the_end(path: Path, workers: int) -> None:
    file = path.with_name("streamd.toml")
    file.write_text(f'[server]\nbind = ["unix:{path}"]\nunix_mode = "0600"\n')
    options = ("--config", str(file), "--workers", str(workers), "--log-level", "info")
    module = "streamd" if workers == 1 else MODULE
    async with started_on("serve", *options, module=module) as program:
        assert await program.line() == f"{ADDRESS}unix:{path}"
        inode = inode_of(path)
        file.write_text(file.read_text() + "[connections]\nmax_connections = 5\n")
        program.signal(signal.SIGHUP)
        for _ in range(workers):
            await program.says("configuration_reloaded")
        assert inode_of(path) == inode
        assert await ask("http://localhost", unix=path) == 200
        program.signal(signal.SIGTERM)
        assert await program.ended() == 0
    assert not inode_of(path)


async def test_a_second_server_on_the_path_is_refused_and_a_killed_one_is_replaced(path: Path) -> None:
    options = ("serve", "--bind", f"unix:{path}")
    async with started_on(*options) as program:
        await program.line()
        async with started_on(*options) as second:
            assert await second.ended() != 0
            assert "in use" in await second.rest(2)
        assert await ask("http://localhost", unix=path) == 200
        program.signal(signal.SIGKILL)
        await program.ended()
    assert inode_of(path)
    async with started_on(*options) as program:
        await program.line()
        assert await ask("http://localhost", unix=path) == 200
        program.signal(signal.SIGTERM)
        assert await program.ended() == 0
    assert not inode_of(path)
