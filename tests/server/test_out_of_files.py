"""A server that runs out of files ends idle connections; without any, it pauses accepting and serves on."""

import json
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import httpx
import psutil
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from trio_websocket import wrap_client_stream

from streamd.testing import open_stream
from tests.support.server_process import ServerProcess, server_process

SPARE = 10  # files that the server may still open (count)
CROWD = 40  # clients that connect then (count)
PAUSE_SECONDS = 0.1
WATCHED_SECONDS = 2.0
NEWCOMERS = 11
GET = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
STREAM = b"GET /events?topic=crowd HTTP/1.1\r\nHost: localhost\r\n\r\n"


@attrs.frozen
class FullServer:
    """A server that cannot open any more files.

    Attributes:
        http: a client whose connection was open before, and is never idle.
        crowd: further clients, in the order of connecting.
    """

    process: ServerProcess
    http: httpx.AsyncClient
    crowd: list[trio.SocketStream]

    async def count(self, name: str) -> float:
        """Return the value of a counter."""
        text = (await self.http.get("/metrics")).text
        [family] = [f for f in text_string_to_metric_families(text) if f.name == f"streamd_{name}"]
        return next(sample.value for sample in family.samples if sample.name.endswith("_total"))

    async def accept_pauses(self) -> float:
        """Return the number of pauses of accepting."""
        return await self.count("accept_pauses")

    async def publish(self, data: str) -> None:
        answer = await self.http.post("/events", json={"topic": "a", "data": data})
        assert answer.status_code == 201, answer.text

    def limit_files(self) -> None:
        """Let the server open ``SPARE`` more files than it has open."""
        pid = self.process.program.process.pid
        files = psutil.Process(pid).num_fds() + SPARE
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (files, files))

    async def connect_crowd(self, request: bytes) -> None:
        """Connect the crowd, each with a request or a part of one."""
        for _ in range(CROWD):
            stream = await trio.open_tcp_stream("127.0.0.1", self.process.port)
            self.crowd.append(stream)
            await stream.send_all(request)

    async def exhaust_files(self) -> None:
        """Limit the server's open files, and connect a crowd that takes all of them.

        The first ``SPARE`` of it have streams, and the others wait in the kernel's backlog.
        """
        assert await self.accept_pauses() == 0
        self.limit_files()
        await self.connect_crowd(STREAM)
        for stream in self.crowd[:SPARE]:
            await read_stream(stream)
        while not await self.accept_pauses():
            pass

    async def close_crowd(self) -> None:
        """Close the crowd's connections."""
        while self.crowd:
            await self.crowd.pop().aclose()

    async def stop_and_read_log(self) -> list[dict[str, object]]:
        """Shut the server down, and read its log."""
        self.process.program.signal(signal.SIGTERM)
        lines = (await self.process.program.rest(2)).splitlines()
        assert await self.process.exit_status(20) == 0
        return [json.loads(line) for line in lines]


@asynccontextmanager
async def starting() -> AsyncIterator[FullServer]:
    """Run a server for the block."""
    one = httpx.Limits(max_connections=1)
    async with (
        server_process(
            server__keep_alive_seconds=3600,
            connections__max_connections=100,  # there are always slots, and no files
            logging__format="json",
        ) as process,
        httpx.AsyncClient(base_url=process.url, http1=False, http2=True, limits=one, timeout=20) as http,
        http.stream("GET", "/events", params={"topic": "kept"}),
    ):
        server = FullServer(process, http, [])
        try:
            yield server
        finally:
            await server.close_crowd()


async def read_until(stream: trio.SocketStream, end: bytes) -> None:
    answer = b""
    while end not in answer:
        part = await stream.receive_some()
        assert part, answer
        answer += part


async def read_answer(stream: trio.SocketStream) -> None:
    await read_until(stream, b'{"status":"alive"}')


async def read_stream(stream: trio.SocketStream) -> None:
    await read_until(stream, b"event: connected")


@pytest.mark.parametrize("sent", [b"", GET[:10], GET], ids=["nothing", "part of a head", "a request"])
async def test_idle_connections_make_room_for_newcomers(sent: bytes) -> None:
    async with starting() as server, open_stream(server.process.url, topics=["a"]) as reader:
        await reader.next_control("connected")
        server.limit_files()
        await server.connect_crowd(sent)
        for _ in range(NEWCOMERS):
            newcomer = await trio.open_tcp_stream("127.0.0.1", server.process.port)
            server.crowd.append(newcomer)
            await newcomer.send_all(GET)
            await read_answer(newcomer)
        assert await server.count("idle_connections_ended") >= CROWD + NEWCOMERS - SPARE
        await server.publish("still here")
        event = await reader.next_event()
        assert event is not None
        assert event.data == "still here"


async def test_the_connection_that_is_idle_for_longest_is_ended_first() -> None:
    async with starting() as server:
        await server.connect_crowd(GET)
        for stream in server.crowd:
            await read_answer(stream)
        oldest, *others, used = server.crowd
        for stream in (*others, used):  # the first requests were answered in no fixed order
            await stream.send_all(GET)
            await read_answer(stream)
        server.limit_files()
        while not await server.count("idle_connections_ended"):
            newcomer = await trio.open_tcp_stream("127.0.0.1", server.process.port)
            server.crowd.append(newcomer)
            await newcomer.send_all(GET)
            await read_answer(newcomer)
        assert await oldest.receive_some() == b""
        await used.send_all(GET)
        await read_answer(used)


async def test_streams_go_on_and_new_clients_wait_until_others_leave() -> None:
    async with starting() as server, open_stream(server.process.url, topics=["a"]) as reader:
        await reader.next_control("connected")
        socket = await trio.open_tcp_stream("127.0.0.1", server.process.port)
        async with socket, trio.open_nursery() as nursery:
            websocket = await wrap_client_stream(nursery, socket, "localhost", "/events?topic=a")
            assert "connected" in await websocket.get_message()
            await server.exhaust_files()
            before, number = await server.accept_pauses(), 0
            while await server.accept_pauses() < before + 3:
                await server.publish(f"event {number}")
                event = await reader.next_event()
                assert event is not None
                assert event.data == f"event {number}"
                assert f'"event {number}"' in await websocket.get_message()
                number += 1
            assert number
            new_client = await trio.open_tcp_stream("127.0.0.1", server.process.port)
            async with new_client:
                await new_client.send_all(GET)
                await server.close_crowd()
                await read_answer(new_client)
            async with open_stream(server.process.url, topics=["a"]) as late:
                await late.next_control("connected")
                pauses = await server.accept_pauses()
                await server.publish("for all")
                for each in (reader, late):
                    event = await each.next_event()
                    assert event is not None
                    assert event.data == "for all"
            assert await server.accept_pauses() == pauses
            nursery.cancel_scope.cancel()


@pytest.mark.soak
async def test_a_pause_takes_little_cpu_time() -> None:
    async with starting() as server:
        await server.exhaust_files()
        process = psutil.Process(server.process.program.process.pid)
        pauses, cpu, began = await server.accept_pauses(), process.cpu_times(), trio.current_time()
        # A long poll on a quiet topic measures the time on the server.
        await server.http.get("/events/poll", params={"topic": "quiet", "wait": WATCHED_SECONDS})
        pauses = await server.accept_pauses() - pauses
        seconds = trio.current_time() - began
        used = process.cpu_times()
        assert 1 <= pauses <= seconds / PAUSE_SECONDS + 1
        assert used.user + used.system - cpu.user - cpu.system < WATCHED_SECONDS / 4


async def test_one_error_is_logged_while_clients_wait() -> None:
    async with starting() as server:
        await server.exhaust_files()
        for next_in_backlog in range(
            SPARE, SPARE + 5
        ):  # one leaves, the next is accepted, and the files are exhausted again
            before = await server.accept_pauses()
            await server.crowd[next_in_backlog - SPARE].aclose()
            await read_stream(server.crowd[next_in_backlog])
            while await server.accept_pauses() < before + 2:
                pass
        await server.close_crowd()
        errors = [line for line in await server.stop_and_read_log() if line["level"] == "error"]
        assert len(errors) == 1, errors
        assert "accepting_paused" in str(errors[0]["event"])
