"""Slow clients in virtual time: real sockets, and a clock that stands still while a trio task can run.

After a moment without activity the clock jumps to the next deadline, so that a timeout of 10 s expires
after exactly 10 s. (The log expires old events once a second, so that each second costs one jump.)
"""

import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from streamd.connections.settings import ConnectionSettings
from streamd.events.settings import EventSettings
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import RunningServer, run_server
from tests.support.certificates import trusting, write_certificate
from tests.support.http2_client import ManualHTTP2Client
from tests.support.sockets import connect

STILL_SECONDS = 0.02  # of the real clock; without it time would jump while bytes are in transit
LIMIT_SECONDS = 60.0  # of a test; longer than any timeout of the server
LONG_SECONDS = 3000.0
GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
SETTINGS = Settings(
    server=ServerSettings(
        request_head_timeout_seconds=4, tls_handshake_timeout_seconds=3, keep_alive_seconds=10
    ),
    events=EventSettings(body_timeout_seconds=20),
    # Long intervals, because each jump of the clock takes real time.
    connections=ConnectionSettings(sweep_seconds=500, heartbeat_seconds=100_000),
)


def make_clock() -> MockClock:
    """Build the clock of a fixture; pytest-trio uses it in tests that have the fixture as an argument."""
    return MockClock(autojump_threshold=STILL_SECONDS)


@attrs.frozen
class TimedServer:
    """A server, and connections to it within the time limit of the test."""

    server: RunningServer
    tls: ssl.SSLContext | None
    limit: trio.CancelScope  # of the whole test

    async def connect(self) -> trio.abc.Stream:
        """Open a connection, over TLS if the server has a certificate."""
        return await connect(self.server.url, tls=self.tls)

    async def connect_http2(self) -> ManualHTTP2Client:
        """Open an HTTP/2 connection, and send its preface."""
        if self.tls is not None:
            self.tls.set_alpn_protocols(["h2"])
        client = ManualHTTP2Client(await self.connect())
        await client.stream.send_all(client.http.data_to_send())
        return client


@asynccontextmanager
async def serving(folder: Path, *, tls: bool) -> AsyncIterator[TimedServer]:
    """Run a server for the block; its certificate is written to ``folder``."""
    context, settings = None, SETTINGS
    if tls:
        pem, context = write_certificate(folder), trusting()
        settings = attrs.evolve(settings, server=attrs.evolve(settings.server, certfile=pem, keyfile=pem))
    with trio.fail_after(LIMIT_SECONDS) as limit:
        async with run_server(settings) as server:
            yield TimedServer(server, context, limit)


async def trickle(stream: trio.abc.Stream, parts: Iterable[bytes], every_seconds: float = 1.0) -> None:
    """Send one part per interval until the server closes the connection."""
    try:
        for part in parts:
            await stream.send_all(part)
            await trio.sleep(every_seconds)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


async def seconds_until_closed(
    stream: trio.abc.Stream, parts: Iterable[bytes] = (), every_seconds: float = 1.0
) -> float:
    """Return the time until the server closes the connection, while the client sends the parts (s)."""
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trickle, stream, parts, every_seconds)
        try:
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass  # a reset closes the connection, too
        seconds = trio.current_time() - began
        nursery.cancel_scope.cancel()
    await trio.aclose_forcefully(stream)
    return seconds


async def ask(stream: trio.abc.Stream, request: bytes = GET) -> None:
    """Send a request, and read the answer of ``/health/live``."""
    await stream.send_all(request)
    answer = b""
    while b'{"status":"alive"}' not in answer:
        part = await stream.receive_some()
        assert part
        answer += part


async def skip_long(timed: TimedServer, clock: MockClock) -> None:
    """Move the clock far ahead, and wait until all expired timeouts have been handled."""
    timed.limit.deadline += LONG_SECONDS
    await wait_all_tasks_blocked(STILL_SECONDS)
    clock.jump(LONG_SECONDS)
    await wait_all_tasks_blocked(STILL_SECONDS)


async def ask_http2(client: ManualHTTP2Client) -> None:
    """Request ``/health/live``, and read the answer."""
    answer = await client.get("/health/live")
    while b"alive" not in client.received.get(answer, b""):
        await client.read()
