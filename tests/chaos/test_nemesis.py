"""The tools of the nemesis: the proxy, the wall clock and the disk of a process."""

import errno
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.chaos.preload import preloading
from tests.chaos.proxy import Proxy

SECONDS = 30
BYTES = 100_000
ALL = 1.0


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[Proxy, trio.SocketStream, trio.SocketStream]]:
    """Run a proxy with one connection; yield it with the ends of the client and the server."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    proxy = Proxy(lambda: port)
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery, listener:
            await nursery.start(proxy.run)
            client = await trio.open_tcp_stream("127.0.0.1", proxy.port)
            server = await listener.accept()
            async with client, server:
                yield proxy, client, server
            nursery.cancel_scope.cancel()


async def read_all(stream: trio.SocketStream) -> bytes:
    """Read up to the end or the reset of a connection."""
    data = b""
    try:
        async for part in stream:
            data += part
    except trio.BrokenResourceError:
        pass
    return data


async def test_proxy_relays_both_ways() -> None:
    async with proxied() as (_, client, server):
        await client.send_all(b"question")
        assert await server.receive_some() == b"question"
        await server.send_all(b"answer")
        await server.aclose()
        assert await read_all(client) == b"answer"


async def test_cut_connection_ends_within_the_limit_that_was_set_last() -> None:
    async with proxied() as (proxy, client, server), trio.open_nursery() as nursery:
        await client.send_all(b"question")
        await server.receive_some()
        proxy.cut_later(random.Random(1), ALL, 50)
        data = random.Random(2).randbytes(BYTES)
        nursery.start_soon(_send, server, data)
        received = await client.receive_some(1)
        proxy.cut_later(random.Random(1), ALL, BYTES)  # during the send: the connection must not go on
        received += await read_all(client)
        assert data.startswith(received)
        assert len(received) <= 50


async def _send(stream: trio.SocketStream, data: bytes) -> None:
    try:
        await stream.send_all(data)
    except trio.BrokenResourceError:
        pass  # the proxy has cut it


async def test_held_bytes_pass_when_they_are_released() -> None:
    async with proxied() as (proxy, client, server):
        proxy.hold()
        await server.send_all(b"answer")
        proxy.release()
        assert await client.receive_some() == b"answer"


async def test_cut_connections_are_reset() -> None:
    async with proxied() as (proxy, client, server):
        await client.send_all(b"question")
        await server.receive_some()
        assert proxy.cut(random.Random(1), ALL) == 1
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some()


def run(variables: dict[str, str], code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | variables, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_wall_clock_of_a_process_is_set(tmp_path: Path) -> None:
    with preloading(tmp_path) as preload:
        assert preload is not None
        preload.set_clock(-3_600_000)
        text = run(
            preload.variables,
            "import time, datetime; print(time.time(), datetime.datetime.now().timestamp())",
        )
        for seconds in map(float, text.split()):
            assert abs(time.time() - 3600 - seconds) < 60


def test_disk_of_a_process_is_full_after_some_bytes(tmp_path: Path) -> None:
    code = (
        "import os\n"
        f"file = os.open({str(tmp_path / 'file')!r}, os.O_CREAT | os.O_RDWR)\n"
        "print(os.pwrite(file, b'x' * 300, 0))\n"
        "try: os.pwrite(file, b'x', 300)\n"
        "except OSError as error: print(error.errno)\n"
    )
    with preloading(tmp_path) as preload:
        assert preload is not None
        preload.fill_disk(200)
        assert run(preload.variables, code).split() == ["200", str(errno.ENOSPC)]
        assert preload.refused_writes == 1
        preload.give_room()
        assert run(preload.variables, code).split() == ["300"]
