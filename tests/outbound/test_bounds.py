"""Bounds on the heads that a server sends in front of a body, and on the body that is processed at once."""

import gzip
from collections.abc import AsyncIterator

import httpx
import pytest
import trio
import trio.testing

from streamd.outbound import ResponseTooLarge, RetryPolicy, StreamedResponse, fetch
from streamd.outbound.bounds import ResponseBounds
from streamd.outbound.response import PacedPieces
from tests.support.fake_server import fake_server, raw, respond

RETRY = RetryPolicy(attempts=3)
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
BOMB = gzip.compress(b"\0" * 50_000_000)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"


async def read(response: StreamedResponse) -> bytes:
    return await response.read(max_bytes=1_000_000)


async def ask(client: httpx.AsyncClient, answer: bytes) -> bytes:
    async with fake_server(raw(answer)) as server:
        return await fetch(client, client.build_request("GET", server.url + "/"), read)


# --- heads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 16])
async def test_some_interim_responses_are_skipped(client: httpx.AsyncClient, count: int) -> None:
    assert await ask(client, INTERIM * count + HEAD + b"x") == b"x"


TOO_LARGE = {
    "17 interim responses": INTERIM * 17 + HEAD + b"x",
    "100,000 interim responses": INTERIM * 100_000 + HEAD + b"x",
    "257 fields": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 257 + b"\r\n",
    "a field of 64 kB": b"HTTP/1.1 200 OK\r\na: " + b"b" * 65_536 + b"\r\n\r\n",
    "fields in interim responses": (b"HTTP/1.1 103 Early Hints\r\na: " + b"b" * 10_000 + b"\r\n\r\n") * 7,
}


@pytest.mark.parametrize("answer", TOO_LARGE.values(), ids=TOO_LARGE)
async def test_a_head_that_is_too_large_is_refused_and_not_asked_for_again(
    client: httpx.AsyncClient, answer: bytes
) -> None:
    async with fake_server(raw(answer)) as server:
        with pytest.raises(ResponseTooLarge):
            await fetch(client, client.build_request("GET", server.url + "/"), read, policy=RETRY)
    assert len(server.requests) == 1


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_heads_are_followed_however_they_are_cut(size: int, end: bytes) -> None:
    allowed = (INTERIM * 16 + HEAD).replace(b"\r\n", end)
    bounds = ResponseBounds()
    for _ in range(2):  # the second request of the connection begins again
        bounds.begin()
        for start in range(0, len(allowed), size):
            bounds.receive_data(allowed[start : start + size])
        bounds.receive_data(INTERIM * 100)  # the body
    bounds.begin()
    with pytest.raises(ResponseTooLarge):
        for start in range(0, 17 * len(INTERIM), size):
            bounds.receive_data((INTERIM * 17)[start : start + size])


async def test_the_second_request_of_a_connection_is_bounded_too(client: httpx.AsyncClient) -> None:
    async with fake_server(respond(200, b"x"), raw(INTERIM * 17)) as server:
        request = client.build_request("GET", server.url + "/")
        assert await fetch(client, request, read) == b"x"
        with pytest.raises(ResponseTooLarge):
            await fetch(client, request, read)


# --- trailers -------------------------------------------------------------------------------------


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"3;x=y\r\na\nb\r\n1a\r\n" + b"\n" * 26 + b"\r\n"


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_trailers_are_counted_however_they_are_cut(size: int) -> None:
    bounds = ResponseBounds()

    def receive(data: bytes) -> None:
        bounds.begin()
        for start in range(0, len(data), size):
            bounds.receive_data(data[start : start + size])

    receive(CHUNKED + CHUNKS * 50 + b"0\r\n" + b"a:\r\n" * 255 + b"\r\n")
    with pytest.raises(ResponseTooLarge, match="trailers"):
        receive(CHUNKED + CHUNKS + b"0\r\n" + b"a:\r\n" * 256 + b"\r\n")
    with pytest.raises(ResponseTooLarge, match="extensions"):
        receive(CHUNKED + CHUNKS + b"1;" + b"x" * 5000)


async def test_an_answer_with_thousands_of_trailers_is_refused(client: httpx.AsyncClient) -> None:
    trailers = b"a:\r\n"
    assert await ask(client, CHUNKED + b"1\r\nx\r\n0\r\n" + trailers * 200 + b"\r\n") == b"x"
    answer = CHUNKED + b"1\r\nx\r\n0\r\n" + trailers * 16_000 + b"\r\n"
    async with fake_server(raw(answer)) as server:
        with pytest.raises(ResponseTooLarge):
            await fetch(client, client.build_request("GET", server.url + "/"), read)


# --- bodies ---------------------------------------------------------------------------------------


def test_few_bytes_of_a_compressed_body_are_read_at_once() -> None:
    bounds = ResponseBounds()
    assert bounds.limit_read(65_536) == 4096
    bounds.receive_data(HEAD)
    assert bounds.limit_read(65_536) == 65_536
    bounds.begin()
    bounds.receive_data(HEAD.replace(b"Content-Length: 1", b"content-Encoding: br"))
    assert bounds.limit_read(65_536) == 4096


async def test_a_bomb_is_inflated_by_4_megabytes_at_most(client: httpx.AsyncClient) -> None:
    largest = 0

    async def inflate(response: StreamedResponse) -> None:
        nonlocal largest
        while piece := await response.receive_some():
            largest = max(largest, len(piece))

    async with fake_server(respond(200, BOMB, {"Content-Encoding": "gzip"})) as server:
        await fetch(client, client.build_request("GET", server.url + "/"), inflate)
    assert 0 < largest <= 4096 * 1100


class Pieces(AsyncIterator[bytes]):
    """Pieces that have arrived already, each of which takes a second."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.now = 0.0

    async def __anext__(self) -> bytes:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        self.now += 1
        return b"x"


async def test_other_trio_tasks_run_between_pieces_that_have_arrived() -> None:
    passes = 0

    async def count() -> None:
        nonlocal passes
        while True:
            passes += 1
            await trio.lowlevel.checkpoint()

    pieces = Pieces(1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        assert len([piece async for piece in PacedPieces(pieces, lambda: pieces.now)]) == 1000
        nursery.cancel_scope.cancel()
    assert passes >= 1000


async def test_chunks_of_one_byte_are_read_whole(client: httpx.AsyncClient) -> None:
    async with fake_server(respond(200, [b"x"] * 1000)) as server:
        assert await fetch(client, client.build_request("GET", server.url + "/"), read) == b"x" * 1000
