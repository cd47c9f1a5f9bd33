"""Requests over real sockets: retries, limits and errors of one fetch, on a virtual clock."""

import gzip
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate

import httpx
import pytest
import trio
from trio.testing import MockClock

from streamd.errors import NotFound
from streamd.outbound import (
    AttemptFailed,
    Backoff,
    ConnectionFailed,
    FetchFailed,
    ResponseBroken,
    ResponseTimeout,
    ResponseTooLarge,
    RetriesExhausted,
    RetryBound,
    RetryNotice,
    RetryPolicy,
    StreamedResponse,
    UnsendableRequest,
    fetch,
    fetch_stream,
    open_response,
    with_body,
)
from tests.support.orders_rig import Answer, Asked, Peer, http, peer

OK = http(200, b"fine")
CUT_OFF = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
EXACT = Backoff(initial_seconds=1, jitter=0)
RETRY = RetryPolicy(attempts=4, backoff=EXACT)


@asynccontextmanager
async def serving(client: httpx.AsyncClient, *answers: Answer) -> AsyncIterator[tuple[Peer, httpx.Request]]:
    """A server with these answers, and a request to it."""
    async with peer(*answers) as server:
        yield server, client.build_request("GET", server.url + "/data")


async def read(response: StreamedResponse) -> bytes:
    """The body of a 200; every other status asks for another attempt."""
    if response.status != 200:
        raise AttemptFailed(f"status {response.status}", retry_after_seconds=response.retry_after_seconds)
    return await response.read(max_bytes=1000)


async def silent(asked: Asked, stream: trio.SocketStream) -> bytes:
    await stream.receive_some()  # until the client leaves
    return b""


async def test_a_response_is_read_whole(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with serving(client, OK) as (server, request):
        assert await fetch(client, request, read) == b"fine"
    assert [asked.target for asked in server.asked] == ["/data"]


@pytest.mark.parametrize("failing", [http(503), CUT_OFF, b"not HTTP\r\n\r\n", b""])
async def test_a_failed_attempt_is_repeated_with_the_same_request(
    client: httpx.AsyncClient, clock: MockClock, failing: bytes
) -> None:
    notices: list[RetryNotice] = []

    async def on_retry(notice: RetryNotice) -> None:
        await trio.lowlevel.checkpoint()
        notices.append(notice)

    async with peer(failing, failing, OK) as server:
        request = client.build_request("POST", server.url, headers={"Idempotency-Key": "k"})
        with_body(request, b'{"order": 1}')
        assert await fetch(client, request, read, policy=RETRY, on_retry=on_retry) == b"fine"
    assert [asked.body for asked in server.asked] == [b'{"order": 1}'] * 3
    assert {asked.headers["idempotency-key"] for asked in server.asked} == {"k"}
    assert [notice.wait_seconds for notice in notices] == [1, 2]


async def test_attempts_are_bounded(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with serving(client, http(500)) as (server, request):
        with pytest.raises(RetriesExhausted, match="status 500") as caught:
            await fetch(client, request, read, policy=RETRY)
    assert caught.value.attempts == len(server.asked) == 4


async def test_one_attempt_is_the_default(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with serving(client, http(500)) as (server, request):
        with pytest.raises(RetriesExhausted):
            await fetch(client, request, read)
    assert len(server.asked) == 1


async def test_a_final_answer_is_not_repeated(client: httpx.AsyncClient, clock: MockClock) -> None:
    async def reject(response: StreamedResponse) -> bytes:
        await trio.lowlevel.checkpoint()
        raise NotFound("unknown")

    async with serving(client, http(404)) as (server, request):
        with pytest.raises(NotFound):
            await fetch(client, request, reject, policy=RETRY)
    assert len(server.asked) == 1


@pytest.mark.parametrize("as_date", [False, True])
async def test_retry_after_is_waited_for(client: httpx.AsyncClient, clock: MockClock, as_date: bool) -> None:
    value = formatdate(time.time() + 300, usegmt=True) if as_date else "300"
    async with serving(client, http(429, Retry_After=value), OK) as (_, request):
        started = trio.current_time()
        assert await fetch(client, request, read, policy=RETRY) == b"fine"
    assert trio.current_time() - started == pytest.approx(300, abs=5)


async def test_a_retry_after_beyond_the_maximum_wait_is_final(
    client: httpx.AsyncClient, clock: MockClock
) -> None:
    async with serving(client, http(503, Retry_After="31"), OK) as (server, request):
        with pytest.raises(RetriesExhausted) as caught:
            await fetch(client, request, read, policy=RetryPolicy(attempts=4, max_wait_seconds=30))
    assert (caught.value.bound, len(server.asked)) == (RetryBound.WAIT, 1)


async def test_an_attempt_has_a_timeout_for_head_and_body(
    client: httpx.AsyncClient, clock: MockClock
) -> None:
    async def trickle(asked: Asked, stream: trio.SocketStream) -> bytes:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(100):
            await trio.sleep(1)
            await stream.send_all(b"x")
        return b""

    async with serving(client, silent, trickle, OK) as (server, request):
        started = trio.current_time()
        body = await fetch(client, request, read, policy=RETRY, attempt_timeout_seconds=30)
        assert body == b"fine"
    assert trio.current_time() - started == pytest.approx(30 + 1 + 30 + 2, abs=0.5)
    assert len(server.asked) == 3


async def test_the_head_has_a_timeout(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with serving(client, silent) as (_, request):
        with pytest.raises(RetriesExhausted, match="no answer within 12 s") as caught:
            await fetch(client, request, read, head_timeout_seconds=12)
    assert isinstance(caught.value.failure, ResponseTimeout)


async def test_each_piece_has_a_timeout(client: httpx.AsyncClient, clock: MockClock) -> None:
    async def fall_silent(asked: Asked, stream: trio.SocketStream) -> bytes:
        await stream.send_all(CUT_OFF)
        return await silent(asked, stream)

    async with serving(client, fall_silent) as (_, request), open_response(client, request) as response:
        assert await response.receive_some(5) == b"half"
        with pytest.raises(ResponseTimeout, match="silent for 5 s"):
            await response.receive_some(5)


async def test_past_the_deadline_nothing_is_tried(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with serving(client, http(503), silent) as (server, request):
        deadline = trio.current_time() + 20
        with pytest.raises(RetriesExhausted, match="status 503") as caught:
            await fetch(client, request, read, policy=RETRY, deadline=deadline)
        assert trio.current_time() == pytest.approx(deadline, abs=0.5)
    assert (caught.value.bound, len(server.asked)) == (RetryBound.TIME, 2)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 1001,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n",
        http(200, gzip.compress(b"x" * 100_000), Content_Encoding="gzip"),
    ],
    ids=["announced", "until the end", "chunked", "compressed"],
)
async def test_a_body_beyond_its_limit_is_final(
    client: httpx.AsyncClient, clock: MockClock, answer: bytes
) -> None:
    async with serving(client, answer) as (server, request):
        with pytest.raises(ResponseTooLarge, match="larger than 1000 bytes"):
            await fetch(client, request, read, policy=RETRY)
    assert len(server.asked) == 1


async def test_a_body_at_its_limit_is_taken(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with serving(client, http(200, b"x" * 1000)) as (_, request):
        assert len(await fetch(client, request, read)) == 1000


async def test_the_limit_is_one_on_decoded_bytes_unless_raw_ones_are_asked_for(
    client: httpx.AsyncClient, clock: MockClock
) -> None:
    body = gzip.compress(b"x" * 1000)
    answer = http(200, body, Content_Encoding="gzip")
    async with serving(client, answer, answer) as (_, request):
        assert await fetch(client, request, read) == b"x" * 1000
        assert await fetch(client, request, read, decode=False) == body


async def test_a_body_that_does_not_decode_is_broken(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with serving(client, http(200, b"no gzip", Content_Encoding="gzip")) as (_, request):
        with pytest.raises(RetriesExhausted) as caught:
            await fetch(client, request, read)
    assert isinstance(caught.value.failure, ResponseBroken)


async def test_redirects_are_the_readers_to_judge(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with serving(client, http(302, Location="/elsewhere"), OK) as (server, request):
        with pytest.raises(RetriesExhausted, match="status 302"):
            await fetch(client, request, read)
    assert len(server.asked) == 1


# --- the reason of an error


async def test_an_error_names_its_reason_without_the_address(
    client: httpx.AsyncClient, clock: MockClock
) -> None:
    async with peer(OK) as server:
        port = server.url.rpartition(":")[2]
    for url in (server.url, f"http://localhost:{port}", "http://internal.invalid/"):
        with pytest.raises(RetriesExhausted) as caught:
            await fetch(client, client.build_request("GET", url), read)
        assert isinstance(caught.value.failure, ConnectionFailed)
        assert str(caught.value) == "the connection failed (ConnectError)"
        assert isinstance(caught.value.failure.__cause__, httpx.ConnectError)


@pytest.mark.parametrize("answer", [CUT_OFF, b"", b"not HTTP\r\n\r\n"])
async def test_a_cut_off_response_is_broken_and_not_short(
    client: httpx.AsyncClient, clock: MockClock, answer: bytes
) -> None:
    async with serving(client, answer) as (_, request):
        with pytest.raises(RetriesExhausted, match=r"\(RemoteProtocolError\)") as caught:
            await fetch(client, request, read)
    assert isinstance(caught.value.failure, ResponseBroken)


async def test_a_request_that_is_no_http_is_not_repeated(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with peer(OK) as server:
        request = client.build_request("GET", server.url, headers={"X": "a\nb"})
        with pytest.raises(UnsendableRequest):
            await fetch(client, request, read, policy=RETRY)
    assert server.asked == []


# --- responses that stay open


async def begin(response: StreamedResponse) -> tuple[bytes, StreamedResponse]:
    """The first piece, and the response for the rest."""
    if response.status != 200 or not (first := await response.receive_some()):
        raise AttemptFailed(f"status {response.status}")
    return first, response


async def two_pieces(asked: Asked, stream: trio.SocketStream) -> bytes:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none")
    await trio.sleep(60)
    return b"two"


async def test_a_stream_is_open_after_the_attempt_that_began_it(
    client: httpx.AsyncClient, clock: MockClock
) -> None:
    async with serving(client, http(503), http(200), two_pieces) as (server, request):
        async with fetch_stream(client, request, begin, policy=RETRY, attempt_timeout_seconds=30) as (
            first,
            response,
        ):
            # The rest takes longer than the timeout, which ended with the attempt.
            assert [first, await response.receive_some(), await response.receive_some()] == [
                b"one",
                b"two",
                b"",
            ]
    assert len(server.asked) == 3


async def test_nothing_is_repeated_after_a_part_was_consumed(
    client: httpx.AsyncClient, clock: MockClock
) -> None:
    async with serving(client, CUT_OFF, OK) as (server, request):
        with pytest.raises(FetchFailed):
            async with fetch_stream(client, request, begin, policy=RETRY) as (first, response):
                assert first == b"half"
                await response.receive_some()
    assert len(server.asked) == 1


async def test_errors_of_the_block_are_not_retried(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with serving(client, OK) as (server, request):
        with pytest.raises(AttemptFailed, match="mine"):
            async with fetch_stream(client, request, begin, policy=RETRY):
                raise AttemptFailed("mine")
    assert len(server.asked) == 1


async def test_the_pieces_of_a_body_share_its_limit(client: httpx.AsyncClient, clock: MockClock) -> None:
    unannounced = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"

    async def chunks(asked: Asked, stream: trio.SocketStream) -> bytes:
        await stream.send_all(unannounced)
        await trio.sleep(60)
        return b"3\r\ntwo\r\n0\r\n\r\n"

    async with serving(client, chunks) as (_, request):
        async with open_response(client, request) as response:
            assert [piece async for piece in response.pieces(max_bytes=6)] == [b"one", b"two"]
        async with open_response(client, request) as response:
            pieces = response.pieces(max_bytes=5)
            assert await anext(pieces) == b"one"
            with pytest.raises(ResponseTooLarge):
                await anext(pieces)


async def test_a_larger_body_than_the_limit_is_known_by_its_head(
    client: httpx.AsyncClient, clock: MockClock
) -> None:
    async with (
        serving(client, http(200, b"x" * 6)) as (_, request),
        open_response(client, request) as response,
    ):
        with pytest.raises(ResponseTooLarge):
            response.pieces(max_bytes=5)
