"""The benchmark's floor, read by its load program."""

import http.client
import itertools
import json
import re
import signal
import socket
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from subprocess import PIPE

import trio

from bench.native import build
from tests.support.native_peers import DEADLINE_SECONDS, data_of, read_head, run_load

CHUNK = re.compile(rb"([0-9a-f]+)\r\n(id: (\d{13}-\d{6})\ndata: bench (\d+) \d+ x*\n\n)\r\n")


@asynccontextmanager
async def run_floor() -> AsyncGenerator[int]:
    """Run the floor for the block, and yield its port; SIGTERM must end it with status 0."""
    process = await trio.lowlevel.open_process([str(build("floor")), "--port", "0"], stdout=PIPE)
    try:
        with trio.fail_after(DEADLINE_SECONDS):
            assert process.stdout is not None
            line = b""
            while not line.endswith(b"\n"):
                line += await process.stdout.receive_some()
            match = re.fullmatch(rb"listening on http://127\.0\.0\.1:(\d+)\n", line)
            assert match, line
            yield int(match[1])
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()


def event(number: int, length: int = 100) -> bytes:
    """Build the body of an event, with or without a space after the colons."""
    separators = (", ", ": ") if number % 2 else (",", ":")
    value = {"topic": "bench", "data": data_of(number, length).decode()}
    return json.dumps(value, separators=separators).encode()


def post_singly(port: int, count: int, length: int = 100) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)
    for number in range(count):
        post(connection, event(number, length), "application/json")
    connection.close()


def post(connection: http.client.HTTPConnection, body: bytes | Iterator[bytes], type: str) -> None:
    connection.request("POST", "/events", body, {"Content-Type": type}, encode_chunked=True)
    answer = connection.getresponse()
    assert answer.status == 201
    assert isinstance(json.loads(answer.read()), dict)


def post_lines(port: int, count: int) -> None:
    """Post three bodies: with a length, in chunks that split lines, and without a last line feed."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)
    lines = [event(number) for number in range(count)]
    third = count // 3
    post(connection, b"\n".join(lines[:third]) + b"\n", "application/x-ndjson")
    body = b"\n".join(lines[third : 2 * third]) + b"\n"
    # HTTPConnection sends an iterator with "Transfer-Encoding: chunked" where no length is given.
    post(connection, split(body), "application/x-ndjson; charset=utf-8")
    post(connection, b"\n".join(lines[2 * third :]), "application/x-ndjson")
    connection.close()


def split(body: bytes) -> Iterator[bytes]:
    at = 0
    for size in itertools.cycle([1, 333, 3, 77, 5_001]):
        if at >= len(body):
            return
        yield body[at : at + size]
        at += size


async def check_fan_out(publish: Callable[[int, int], None], events: int) -> None:
    async with run_floor() as port, run_load(port, "h1", clients=50, events=events) as load:
        assert (await load.line())["streams"] == 50
        await trio.to_thread.run_sync(publish, port, events)
        done = await load.line()
        assert done["deliveries"] == 50 * events
        assert [done[name] for name in ("missing", "repeated", "disordered", "closed")] == [0] * 4
        assert 0 < done["p50_ns"] <= done["p99_ns"] <= done["p999_ns"] <= done["max_ns"]
        assert await load.finish() == 0


async def test_each_client_receives_events_that_are_posted_one_by_one() -> None:
    await check_fan_out(post_singly, 100)


async def test_each_client_receives_each_line_of_ndjson() -> None:
    await check_fan_out(post_lines, 1_500)


async def test_a_slow_reader_loses_no_event_and_delays_no_other() -> None:
    """It begins to read after the others have all events, which are more than the buffers hold."""
    count, length = 500, 40_000
    async with run_floor() as port, run_load(port, "h1", clients=3, events=count) as load:
        sock = trio.socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        await sock.connect(("127.0.0.1", port))
        async with trio.SocketStream(sock) as slow:
            await slow.send_all(b"GET /events?topic=bench HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await read_head(slow)).startswith(b"HTTP/1.1 200 OK\r\n")
            assert (await load.line())["streams"] == 3
            await trio.to_thread.run_sync(post_singly, port, count, length)
            assert (await load.line())["missing"] == 0
            numbers, ids = await read_chunks(slow, count)
    assert numbers == list(range(count))
    assert ids == sorted(set(ids))


async def read_chunks(stream: trio.SocketStream, count: int) -> tuple[list[int], list[bytes]]:
    """Read events, each in one chunk, and return their numbers and ids."""
    numbers: list[int] = []
    ids: list[bytes] = []
    text, at = bytearray(), 0
    while len(numbers) < count:
        chunk = CHUNK.match(text, at)
        if chunk is None:
            del text[:at]
            at = 0
            data = await stream.receive_some(1_000_000)
            assert data, "the floor closed"
            text += data
            continue
        assert int(chunk[1], 16) == len(chunk[2])
        ids.append(chunk[3])
        numbers.append(int(chunk[4]))
        at = chunk.end()
    assert at == len(text)
    return numbers, ids


async def test_other_requests_are_rejected_and_the_connection_goes_on() -> None:
    async with run_floor() as port:

        def ask() -> list[int]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)
            statuses = []
            bodies = [b"", b'{"topic":"bench"}', b'{"data":"unfinished', event(0)]
            for method, path, body in [("GET", "/", b""), *(("POST", "/events", body) for body in bodies)]:
                connection.request(method, path, body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                statuses.append(answer.status)
            connection.close()
            return statuses

        assert await trio.to_thread.run_sync(ask) == [404, 400, 400, 400, 201]
