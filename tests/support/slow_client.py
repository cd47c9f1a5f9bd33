"""Clients in virtual time: real sockets, and a clock that stands still while anything moves.

Once nothing has moved for a moment the clock jumps to the next deadline, so that what is closed after
10 s is closed after exactly 10 s. (The log looks for old events once a second: a second costs one jump.)
"""

import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio
import trustme
from trio.testing import MockClock, wait_all_tasks_blocked

from streamd.config import ConnectionSettings, EventSettings, ServerSettings, Settings
from streamd.testing import RunningServer, run_server
from tests.support.http2_client import Client
from tests.support.light_reader import connect

STILL_SECONDS = 0.02  # of the real clock; without it time would jump while bytes are on their way
LIMIT_SECONDS = 60.0  # of a test; more than any bound of the server
LONG_SECONDS = 3000.0
GET = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
SETTINGS = Settings(
    server=ServerSettings(
        request_head_timeout_seconds=4, tls_handshake_timeout_seconds=3, keep_alive_seconds=10
    ),
    events=EventSettings(body_timeout_seconds=20),
    # Nothing else happens: each jump of the clock takes real time.
    connections=ConnectionSettings(sweep_seconds=500, heartbeat_seconds=100_000),
)


def make_clock() -> MockClock:
    """For a fixture that each test has to ask for: pytest-trio looks for a clock among its arguments."""
    return MockClock(autojump_threshold=STILL_SECONDS)


@attrs.frozen
class Place:
    """A server, and how one gets there."""

    server: RunningServer
    tls: ssl.SSLContext | None
    limit: trio.CancelScope  # of the whole test

    async def connect(self) -> trio.abc.Stream:
        return await connect(self.server.url, tls=self.tls)

    async def connect_http2(self) -> Client:
        if self.tls is not None:
            self.tls.set_alpn_protocols(["h2"])
        client = Client(await self.connect())
        await client.stream.send_all(client.http.data_to_send())
        return client


@asynccontextmanager
async def serving(folder: Path, *, tls: bool) -> AsyncIterator[Place]:
    context, settings = None, SETTINGS
    if tls:
        authority = trustme.CA()
        pem = str(folder / "server.pem")
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
        context = ssl.create_default_context()
        authority.configure_trust(context)
        settings = attrs.evolve(settings, server=attrs.evolve(settings.server, certfile=pem, keyfile=pem))
    with trio.fail_after(LIMIT_SECONDS) as limit:
        async with run_server(settings) as server:
            yield Place(server, context, limit)


async def trickle(stream: trio.abc.Stream, parts: Iterable[bytes], every_seconds: float = 1.0) -> None:
    """Send a part now and then, for as long as somebody takes it."""
    try:
        for part in parts:
            await stream.send_all(part)
            await trio.sleep(every_seconds)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


async def seconds_to_the_end(
    stream: trio.abc.Stream, parts: Iterable[bytes] = (), every_seconds: float = 1.0
) -> float:
    """How long it takes the server to close, while parts trickle in."""
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trickle, stream, parts, every_seconds)
        try:
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass  # a reset is an end as well
        seconds = trio.current_time() - began
        nursery.cancel_scope.cancel()
    await trio.aclose_forcefully(stream)
    return seconds


async def ask(stream: trio.abc.Stream, request: bytes = GET) -> None:
    await stream.send_all(request)
    answer = b""
    while b'{"status":"alive"}' not in answer:
        part = await stream.receive_some()
        assert part
        answer += part


async def pass_long(place: Place, clock: MockClock) -> None:
    """Much later, when all that was due by then has happened."""
    place.limit.deadline += LONG_SECONDS
    await wait_all_tasks_blocked(STILL_SECONDS)
    clock.jump(LONG_SECONDS)
    await wait_all_tasks_blocked(STILL_SECONDS)


async def ask_http2(client: Client) -> None:
    answer = await client.get("/health/live")
    while b"alive" not in client.received.get(answer, b""):
        await client.read()
