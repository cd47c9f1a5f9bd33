"""Pipelining: requests sent before the previous one is answered (RFC 9112 section 9.3.2)."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from streamd.testing import RunningServer, run_server

SECONDS = 60
HEALTH = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
STREAM = b"GET /events?topic=a&client_id=%b HTTP/1.1\r\nHost: x\r\n\r\n"
POLL = b"GET /events/poll?topic=a&wait=50 HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD_BYTES = 65_536  # server.max_request_head_bytes


class PipeliningClient:
    """Sends requests, and reads the answers in order."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._data = bytearray()

    async def send(self, *requests: bytes) -> None:
        await self.stream.send_all(b"".join(requests))

    async def read_until(self, mark: bytes) -> bytes:
        """Read up to and including the mark."""
        while (end := self._data.find(mark)) < 0:
            part = await self.stream.receive_some()
            assert part, bytes(self._data)
            self._data += part
        end += len(mark)
        data = bytes(self._data[:end])
        del self._data[:end]
        return data

    async def answer(self) -> tuple[int, bytes]:
        """Read the next answer, which has a Content-Length, and return its status and body."""
        head = (await self.read_until(b"\r\n\r\n")).lower()
        [length] = [line.split()[1] for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
        while len(self._data) < int(length):
            part = await self.stream.receive_some()
            assert part
            self._data += part
        body = bytes(self._data[: int(length)])
        del self._data[: int(length)]
        return int(head.split()[1]), body

    async def open_stream(self, name: bytes, *behind: bytes) -> None:
        """Subscribe, with further requests in the same packet."""
        await self.send(STREAM % name, *behind)
        assert b" 200" in (await self.read_until(b"\r\n\r\n")).split(b"\r\n")[0]
        await self.read_until(b"event: connected")

    async def rest(self) -> bytes:
        """Read up to the end of the connection."""
        return bytes(self._data) + b"".join([bytes(part) async for part in self.stream])


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[RunningServer, PipeliningClient]]:
    with trio.fail_after(SECONDS):
        async with run_server() as server:
            async with await trio.open_tcp_stream(server.host, server.port) as stream:
                yield server, PipeliningClient(stream)


@asynccontextmanager
async def another(server: RunningServer) -> AsyncIterator[PipeliningClient]:
    """Connect a second client, which subscribes."""
    async with await trio.open_tcp_stream(server.host, server.port) as stream:
        client = PipeliningClient(stream)
        await client.open_stream(b"another")
        yield client


def post(data: str, topic: str = "a") -> bytes:
    body = msgspec.json.encode({"topic": topic, "data": data})
    head = b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


async def check_published(client: PipeliningClient, count: int) -> None:
    """Read ``count`` answers, and check that the events were published in order."""
    ids = []
    for _ in range(count):
        status, body = await client.answer()
        assert status == 201, body
        ids.append(msgspec.json.decode(body)["id"])
    assert ids == sorted(set(ids))
    assert len(ids) == count


async def data_of(client: PipeliningClient, topic: str) -> list[str]:
    """Poll the published data over the same connection, in order."""
    data: list[str] = []
    after = "earliest"
    while True:
        target = f"/events/poll?topic={topic}&after={after}&wait=0"
        await client.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        status, body = await client.answer()
        assert status == 200
        page = msgspec.json.decode(body)
        if not page["events"]:
            return data
        data += [event["data"] for event in page["events"]]
        after = page["next"]


async def test_a_large_post_behind_a_large_post_is_published() -> None:
    sent = ["1" * 200_000, "2" * 200_000, "3"]
    async with connected() as (_, client):
        await client.send(*(post(data) for data in sent))
        await check_published(client, 3)
        assert await data_of(client, "a") == sent


async def test_five_requests_in_one_packet_are_answered_in_order() -> None:
    async with connected() as (_, client):
        nowhere = b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
        poll = b"GET /events/poll?topic=a&after=earliest&wait=0 HTTP/1.1\r\nHost: x\r\n\r\n"
        await client.send(post("one"), HEALTH, post("two"), nowhere, poll)
        answers = [await client.answer() for _ in range(5)]
        assert [status for status, _ in answers] == [201, 200, 201, 404, 200]
        events = msgspec.json.decode(answers[4][1])["events"]
        assert [event["data"] for event in events] == ["one", "two"]
        assert [event["id"] for event in events] == [msgspec.json.decode(answers[n][1])["id"] for n in (0, 2)]


@pytest.mark.parametrize("at_once", [True, False], ids=["in one packet", "later"])
@pytest.mark.parametrize("size", [1, HEAD_BYTES - 1000])
async def test_requests_behind_a_stream_are_served_when_it_ends(size: int, at_once: bool) -> None:
    async with connected() as (server, client):
        behind = [post("x" * size, "b"), HEALTH]
        await client.open_stream(b"me", *(behind if at_once else []))
        if not at_once:
            await client.send(*behind)
        for data in ("one", "two"):  # they do not delay the stream
            await server.streamd.publish("a", data)
            await client.read_until(b"data: %b\n" % data.encode())
        server.streamd.connections.close("me")
        assert b"event: closing" in await client.read_until(b"\r\n0\r\n\r\n")
        await check_published(client, 1)
        assert (await client.answer())[0] == 200
        assert await data_of(client, "b") == ["x" * size]


async def test_a_stream_behind_a_stream_begins_when_the_first_ends() -> None:
    async with connected() as (server, client):
        await client.open_stream(b"one", STREAM % b"two", HEALTH)
        server.streamd.connections.close("one")
        await client.read_until(b"\r\n0\r\n\r\n")
        await client.read_until(b"event: connected")
        server.streamd.connections.close("two")
        await client.read_until(b"\r\n0\r\n\r\n")
        assert (await client.answer())[0] == 200


async def test_exceeding_the_pipeline_limit_behind_a_stream_aborts_the_connection() -> None:
    async with connected() as (server, client), another(server) as other:
        await client.open_stream(b"me")
        with pytest.raises(trio.BrokenResourceError):
            await client.send(b"x" * 3 * HEAD_BYTES)  # a part of it stays in kernel buffers
            await client.rest()
        while server.streamd.connections.statistics()["active"] > 1:
            await trio.lowlevel.checkpoint()
        await server.streamd.publish("a", "still here")
        await other.read_until(b"still here")


@pytest.mark.parametrize("before", ["", "a stream"])
async def test_a_large_request_behind_an_ordinary_one_is_held_back_and_then_served(before: str) -> None:
    events = [{"topic": "b", "data": f"{number}" * 900_000} for number in range(4)]
    body = msgspec.json.encode(events)
    head = b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    async with connected() as (server, client), trio.open_nursery() as nursery:
        client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, HEAD_BYTES)
        if before:
            await client.open_stream(b"before")
            server.streamd.connections.close("before")
            await client.read_until(b"\r\n0\r\n\r\n")
            while server.streamd.connections.statistics()["active"]:
                await trio.lowlevel.checkpoint()
        is_sent = trio.Event()

        async def send() -> None:
            await client.send(POLL, head % len(body), body)
            is_sent.set()

        nursery.start_soon(send)
        while not server.streamd.connections.statistics()["active"]:
            await trio.lowlevel.checkpoint()
        await wait_all_tasks_blocked(0.05)
        assert not is_sent.is_set()
        await server.streamd.publish("a", "at last")
        status, answer = await client.answer()
        assert status == 200
        assert b"at last" in answer
        status, answer = await client.answer()
        assert status == 201
        assert len(msgspec.json.decode(answer)["ids"]) == 4
        await is_sent.wait()  # the sender may be scheduled after the answer is read
        assert await data_of(client, "b") == [event["data"] for event in events]


# --- a client that closes its side (RFC 9112 section 9.6) ---------------------------------------------


@pytest.mark.parametrize("behind", [b"", HEALTH], ids=["", "with a request behind it"])
async def test_a_stream_ends_when_its_client_closes_its_side(behind: bytes) -> None:
    async with connected() as (server, client), another(server) as other:
        await client.open_stream(b"me", behind)
        await client.stream.send_eof()
        try:
            assert b"closing" not in await client.rest()
        except trio.BrokenResourceError:
            assert behind  # an unanswered request turns the end into a reset
        while server.streamd.connections.statistics()["active"] > 1:
            await trio.lowlevel.checkpoint()
        await server.streamd.publish("a", "still here")
        await other.read_until(b"still here")


async def test_a_poll_releases_its_slot_when_its_client_closes_its_side() -> None:
    async with connected() as (server, client):
        await client.send(POLL)
        while not server.streamd.connections.statistics()["active"]:
            await trio.lowlevel.checkpoint()
        await client.stream.send_eof()
        assert await client.rest() == b""
        assert not server.streamd.connections.statistics()["active"]


async def test_an_incomplete_request_publishes_nothing() -> None:
    async with connected() as (server, client):
        await client.send(post("whole"))
        await check_published(client, 1)
        await client.send(post("x" * 100_000)[:-1])
        await client.stream.send_eof()
        assert b" 201" not in await client.rest()
        async with another(server) as other:
            server.streamd.connections.close("another")
            await other.read_until(b"\r\n0\r\n\r\n")
            assert await data_of(other, "a") == ["whole"]
