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
from tests.support.fake_server import Answer, Exchange, FakeServer, fake_server, hang, hang_up, raw, respond

OK = respond(200, b"fine")
CUT_OFF = respond(200, b"half", content_length=100)
NO_HTTP = raw(b"not HTTP\r\n\r\n")
EXACT = Backoff(initial_seconds=1, jitter=0)
RETRY = RetryPolicy(attempts=4, backoff=EXACT)


@asynccontextmanager
async def serving(
    client: httpx.AsyncClient, *answers: Answer
) -> AsyncIterator[tuple[FakeServer, httpx.Request]]:
    """Run a server with these answers, and make a request to it."""
    async with fake_server(*answers) as server:
        yield server, client.build_request("GET", server.url + "/data")


async def read(response: StreamedResponse) -> bytes:
    """Return the body of a 200; every other status asks for another attempt."""
    if response.status != 200:
        raise AttemptFailed(f"status {response.status}", retry_after_seconds=response.retry_after_seconds)
    return await response.read(max_bytes=1000)


async def test_a_response_is_read_whole(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with serving(client, OK) as (server, request):
        assert await fetch(client, request, read) == b"fine"
    assert [one.target for one in server.requests] == ["/data"]


@pytest.mark.parametrize("failing", [respond(503), CUT_OFF, NO_HTTP, hang_up])
async def test_a_failed_attempt_is_repeated_with_the_same_request(
    client: httpx.AsyncClient, clock: MockClock, failing: Answer
) -> None:
    notices: list[RetryNotice] = []

    async def on_retry(notice: RetryNotice) -> None:
        await trio.lowlevel.checkpoint()
        notices.append(notice)

    async with fake_server(failing, failing, OK) as server:
        request = client.build_request("POST", server.url, headers={"Idempotency-Key": "k"})
        with_body(request, b'{"order": 1}')
        assert await fetch(client, request, read, policy=RETRY, on_retry=on_retry) == b"fine"
    assert [one.body for one in server.requests] == [b'{"order": 1}'] * 3
    assert {one.headers["idempotency-key"] for one in server.requests} == {"k"}
    assert [notice.wait_seconds for notice in notices] == [1, 2]


async def test_attempts_are_bounded(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with serving(client, respond(500)) as (server, request):
        with pytest.raises(RetriesExhausted, match="status 500") as caught:
            await fetch(client, request, read, policy=RETRY)
    assert caught.value.attempts == len(server.requests) == 4


async def test_one_attempt_is_the_default(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with serving(client, respond(500)) as (server, request):
        with pytest.raises(RetriesExhausted):
            await fetch(client, request, read)
    assert len(server.requests) == 1


async def test_a_final_answer_is_not_repeated(client: httpx.AsyncClient, clock: MockClock) -> None:
    async def reject(response: StreamedResponse) -> bytes:
        await trio.lowlevel.checkpoint()
        raise NotFound("unknown")

    async with serving(client, respond(404)) as (server, request):
        with pytest.raises(NotFound):
            await fetch(client, request, reject, policy=RETRY)
    assert len(server.requests) == 1


@pytest.mark.parametrize("as_date", [False, True])
async def test_retry_after_is_waited_for(client: httpx.AsyncClient, clock: MockClock, as_date: bool) -> None:
    value = formatdate(time.time() + 300, usegmt=True) if as_date else "300"
    async with serving(client, respond(429, headers={"Retry-After": value}), OK) as (_, request):
        started = trio.current_time()
        assert await fetch(client, request, read, policy=RETRY) == b"fine"
    assert trio.current_time() - started == pytest.approx(300, abs=5)


async def test_a_retry_after_beyond_the_maximum_wait_is_final(
    client: httpx.AsyncClient, clock: MockClock
) -> None:
    async with serving(client, respond(503, headers={"Retry-After": "31"}), OK) as (server, request):
        with pytest.raises(RetriesExhausted) as caught:
            await fetch(client, request, read, policy=RetryPolicy(attempts=4, max_wait_seconds=30))
    assert (caught.value.bound, len(server.requests)) == (RetryBound.WAIT, 1)


async def test_an_attempt_has_a_timeout_for_head_and_body(
    client: httpx.AsyncClient, clock: MockClock
) -> None:
    trickle = respond(200, [1.0, b"x"] * 100, {"Content-Length": "100"})
    async with serving(client, hang, trickle, OK) as (server, request):
        started = trio.current_time()
        body = await fetch(client, request, read, policy=RETRY, attempt_timeout_seconds=30)
        assert body == b"fine"
    assert trio.current_time() - started == pytest.approx(30 + 1 + 30 + 2, abs=0.5)
    assert len(server.requests) == 3


async def test_the_head_has_a_timeout(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with serving(client, hang) as (_, request):
        with pytest.raises(RetriesExhausted, match="no answer within 12 s") as caught:
            await fetch(client, request, read, head_timeout_seconds=12)
    assert isinstance(caught.value.failure, ResponseTimeout)


async def test_each_piece_has_a_timeout(client: httpx.AsyncClient, clock: MockClock) -> None:
    async def fall_silent(exchange: Exchange) -> None:
        await exchange.head(200, {"Content-Length": "100"})
        await exchange.data(b"half")
        await exchange.wait_for_close()

    async with serving(client, fall_silent) as (_, request), open_response(client, request) as response:
        assert await response.receive_some(5) == b"half"
        with pytest.raises(ResponseTimeout, match="silent for 5 s"):
            await response.receive_some(5)


async def test_past_the_deadline_nothing_is_tried(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with serving(client, respond(503), hang) as (server, request):
        deadline = trio.current_time() + 20
        with pytest.raises(RetriesExhausted, match="status 503") as caught:
            await fetch(client, request, read, policy=RETRY, deadline=deadline)
        assert trio.current_time() == pytest.approx(deadline, abs=0.5)
    assert (caught.value.bound, len(server.requests)) == (RetryBound.TIME, 2)


@pytest.mark.parametrize(
    "answer",
    [
        respond(200, content_length=1001),
        raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 1001),
        respond(200, [b"x" * 1001]),
        respond(200, gzip.compress(b"x" * 100_000), {"Content-Encoding": "gzip"}),
    ],
    ids=["announced", "until the end", "chunked", "compressed"],
)
async def test_a_body_beyond_its_limit_is_final(
    client: httpx.AsyncClient, clock: MockClock, answer: Answer
) -> None:
    async with serving(client, answer) as (server, request):
        with pytest.raises(ResponseTooLarge, match="larger than 1000 bytes"):
            await fetch(client, request, read, policy=RETRY)
    assert len(server.requests) == 1


async def test_a_body_at_its_limit_is_taken(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with serving(client, respond(200, b"x" * 1000)) as (_, request):
        assert len(await fetch(client, request, read)) == 1000


async def test_the_limit_is_one_on_decoded_bytes_unless_raw_ones_are_asked_for(
    client: httpx.AsyncClient, clock: MockClock
) -> None:
    body = gzip.compress(b"x" * 1000)
    answer = respond(200, body, {"Content-Encoding": "gzip"})
    async with serving(client, answer, answer) as (_, request):
        assert await fetch(client, request, read) == b"x" * 1000
        assert await fetch(client, request, read, decode=False) == body


async def test_a_body_that_does_not_decode_is_broken(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with serving(client, respond(200, b"no gzip", {"Content-Encoding": "gzip"})) as (
        _,
        request,
    ):
        with pytest.raises(RetriesExhausted) as caught:
            await fetch(client, request, read)
    assert isinstance(caught.value.failure, ResponseBroken)


async def test_redirects_are_the_readers_to_judge(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with serving(client, respond(302, headers={"Location": "/elsewhere"}), OK) as (server, request):
        with pytest.raises(RetriesExhausted, match="status 302"):
            await fetch(client, request, read)
    assert len(server.requests) == 1


# --- the reason of an error


async def test_an_error_names_its_reason_without_the_address(
    client: httpx.AsyncClient, clock: MockClock
) -> None:
    async with fake_server(OK) as server:
        port = server.url.rpartition(":")[2]
    for url in (server.url, f"http://localhost:{port}", "http://internal.invalid/"):
        with pytest.raises(RetriesExhausted) as caught:
            await fetch(client, client.build_request("GET", url), read)
        assert isinstance(caught.value.failure, ConnectionFailed)
        assert str(caught.value) == "no connection could be made"
        assert isinstance(caught.value.failure.__cause__, httpx.ConnectError)


@pytest.mark.parametrize("answer", [CUT_OFF, hang_up, NO_HTTP])
async def test_a_cut_off_response_is_broken_and_not_short(
    client: httpx.AsyncClient, clock: MockClock, answer: Answer
) -> None:
    async with serving(client, answer) as (_, request):
        with pytest.raises(RetriesExhausted, match="cut off or cannot be read") as caught:
            await fetch(client, request, read)
    assert isinstance(caught.value.failure, ResponseBroken)


async def test_a_request_that_is_no_http_is_not_repeated(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with fake_server(OK) as server:
        request = client.build_request("GET", server.url, headers={"X": "a\nb"})
        with pytest.raises(UnsendableRequest):
            await fetch(client, request, read, policy=RETRY)
    assert server.requests == []


# --- responses that stay open


async def begin(response: StreamedResponse) -> tuple[bytes, StreamedResponse]:
    """Return the first piece, and the response for the rest."""
    if response.status != 200 or not (first := await response.receive_some()):
        raise AttemptFailed(f"status {response.status}")
    return first, response


TWO_PIECES = respond(200, [b"one", 60.0, b"two"], {"Content-Length": "6"})


async def test_a_stream_is_open_after_the_attempt_that_began_it(
    client: httpx.AsyncClient, clock: MockClock
) -> None:
    async with serving(client, respond(503), respond(200), TWO_PIECES) as (server, request):
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
    assert len(server.requests) == 3


async def test_nothing_is_repeated_after_a_part_was_consumed(
    client: httpx.AsyncClient, clock: MockClock
) -> None:
    async with serving(client, CUT_OFF, OK) as (server, request):
        with pytest.raises(FetchFailed):
            async with fetch_stream(client, request, begin, policy=RETRY) as (first, response):
                assert first == b"half"
                await response.receive_some()
    assert len(server.requests) == 1


async def test_errors_of_the_block_are_not_retried(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with serving(client, OK) as (server, request):
        with pytest.raises(AttemptFailed, match="mine"):
            async with fetch_stream(client, request, begin, policy=RETRY):
                raise AttemptFailed("mine")
    assert len(server.requests) == 1


async def test_the_pieces_of_a_body_share_its_limit(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with serving(client, respond(200, [b"one", 60.0, b"two"])) as (_, request):
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
        serving(client, respond(200, b"x" * 6)) as (_, request),
        open_response(client, request) as response,
    ):
        with pytest.raises(ResponseTooLarge):
            response.pieces(max_bytes=5)
