"""Texts over real sockets: streaming, retries, and every failure of a server or a network."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog.testing
import trio

from streamd.config import RetrySettings
from streamd.text import GenerationFailed, Prompt, TextGenerator, generate_text, make_generator
from streamd.text.settings import TextSettings
from tests.support.fake_server import Exchange, fake_server, hang, hang_up
from tests.support.model_server import (
    DONE,
    KEY,
    STREAM,
    begin,
    chunk,
    complete,
    finish,
    model_url,
    refuse,
    say,
    text_settings,
)

SLOW_RETRY = RetrySettings(attempts=100, backoff_seconds=60, max_wait_seconds=60)
PROMPT = Prompt(purpose="test", system="You write.", user="Write.")


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    """Capture the log, which has failures on purpose."""
    with structlog.testing.capture_logs() as entries:
        yield entries


def make(settings: TextSettings) -> TextGenerator:
    return make_generator(settings, {})


async def fails(settings: TextSettings) -> GenerationFailed:
    with pytest.raises(GenerationFailed) as caught:
        await generate_text(make(settings), PROMPT)
    return caught.value


async def test_a_text_needs_one_request_with_model_key_and_messages() -> None:
    async with fake_server(complete("Hel", "lo ", "🎉")) as server:
        generator = make(text_settings(server))
        assert generator.name == "tiny-1"
        assert await generate_text(generator, PROMPT) == "Hello 🎉"
    [request] = server.requests
    assert request.target == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["accept"] == "text/event-stream"
    assert request.json == {
        "model": "tiny-1",
        "stream": True,
        "messages": [
            {"role": "system", "content": "You write."},
            {"role": "user", "content": "Write."},
        ],
    }


async def test_without_a_key_no_header_is_sent_and_the_urls_query_is_kept() -> None:
    async with fake_server(complete("Hello")) as server:
        settings = text_settings(server, api_key="", url=model_url(server) + "/?api-version=2")
        assert await generate_text(make(settings), PROMPT) == "Hello"
    assert "authorization" not in server.requests[0].headers
    assert server.requests[0].target == "/v1/chat/completions?api-version=2"


async def test_pieces_arrive_as_they_are_sent() -> None:
    taken = trio.Event()

    async def answer(exchange: Exchange) -> None:
        await begin(exchange)
        await say(exchange, "one ")
        await taken.wait()  # the rest is sent after the first piece has been read
        await say(exchange, "two")
        await finish(exchange)

    async with fake_server(answer) as server, make(text_settings(server)).generate(PROMPT) as pieces:
        assert await anext(pieces) == "one "
        taken.set()
        assert "".join([piece async for piece in pieces]) == "two"
        with pytest.raises(StopAsyncIteration):
            await anext(pieces)


async def test_bytes_may_arrive_one_by_one() -> None:
    async def answer(exchange: Exchange) -> None:
        await begin(exchange)
        for byte in chunk({"content": "Grüße"}) + chunk({}, "stop"):
            await exchange.data(bytes([byte]))
        await exchange.end()

    async with fake_server(answer) as server:
        assert await generate_text(make(text_settings(server)), PROMPT) == "Grüße"


async def test_the_text_ends_with_the_end_marker_and_not_with_the_connection() -> None:
    async def answer(exchange: Exchange) -> None:
        await begin(exchange)
        await say(exchange, "Hello")
        await exchange.data(DONE)
        await exchange.wait_for_close()  # the body has no end of its own

    async with fake_server(answer) as server:
        assert await generate_text(make(text_settings(server)), PROMPT) == "Hello"


async def test_comments_reset_the_idle_timeout() -> None:
    """Comments arrive for longer than the idle timeout before the text begins."""

    async def answer(exchange: Exchange) -> None:
        await begin(exchange)
        for _ in range(8):
            await trio.sleep(0.25)
            await exchange.data(b": still working\n\n")
        await say(exchange, "Hello")
        await finish(exchange)

    async with fake_server(answer) as server:
        assert await generate_text(make(text_settings(server, idle_seconds=1.5)), PROMPT) == "Hello"
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_429_and_5xx_are_retried(status: int) -> None:
    async with fake_server(refuse(status), complete("Hello")) as server:
        assert await generate_text(make(text_settings(server)), PROMPT) == "Hello"
    assert len(server.requests) == 2


async def test_attempts_are_bounded() -> None:
    async with fake_server(refuse(503)) as server:
        failure = await fails(text_settings(server, retry=RetrySettings(attempts=3, backoff_seconds=0.01)))
    assert failure.detail == "the text service failed (HTTP 503)"
    assert len(server.requests) == 3


async def test_retry_after_is_waited_for() -> None:
    times: list[float] = []

    async def busy(exchange: Exchange) -> None:
        times.append(trio.current_time())
        await refuse(429, headers={"Retry-After": "1"})(exchange)

    async def ready(exchange: Exchange) -> None:
        times.append(trio.current_time())
        await complete("Hello")(exchange)

    async with fake_server(busy, ready) as server:
        assert await generate_text(make(text_settings(server)), PROMPT) == "Hello"
    assert times[1] - times[0] >= 1.0


async def test_retry_after_beyond_the_timeout_fails_at_once() -> None:
    async with fake_server(refuse(429, headers={"Retry-After": "3600"})) as server:
        with trio.fail_after(20):
            failure = await fails(text_settings(server, timeout_seconds=60))
    assert failure.detail == "the text service has too many requests just now"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (400, "refused the request (HTTP 400)"),
        (401, "did not accept the configured key"),
        (403, "did not accept the configured key"),
        (404, "does not know the configured model"),
        (307, "refused the request (HTTP 307)"),
    ],
)
async def test_other_statuses_are_final(status: int, sentence: str) -> None:
    async with fake_server(refuse(status, headers={"Location": "/elsewhere"})) as server:
        failure = await fails(text_settings(server))
    assert sentence in failure.detail
    assert len(server.requests) == 1


async def test_the_key_is_in_no_error_and_no_log(logged: list[Any]) -> None:
    body = f'{{"error": "Incorrect key {KEY}"}}'.encode()
    async with fake_server(refuse(401, body)) as server:
        failure = await fails(text_settings(server))
    assert KEY not in repr(failure)
    assert failure.__cause__ is None
    [entry] = [entry for entry in logged if entry["event"] == "text_generation_failed"]
    assert "Incorrect key ***" in entry["detail"]
    assert KEY not in repr(logged)


async def test_an_absent_server_is_a_failure() -> None:
    async with fake_server(hang) as server:
        pass
    assert (await fails(text_settings(server))).detail == "the text service could not be reached"


async def test_a_connection_lost_before_the_head_is_retried(logged: list[Any]) -> None:
    async with fake_server(hang_up, complete("Hello")) as server:
        assert await generate_text(make(text_settings(server)), PROMPT) == "Hello"
    [entry] = logged
    assert (entry["event"], entry["attempts"]) == ("text_generation_retried", 1)
    assert "RemoteProtocolError" in entry["detail"]


async def test_a_connection_lost_before_any_text_is_retried() -> None:
    async def break_off(exchange: Exchange) -> None:
        await begin(exchange)
        await exchange.data(chunk({"role": "assistant"}))
        await exchange.hang_up()

    async with fake_server(break_off, complete("Hello")) as server:
        assert await generate_text(make(text_settings(server)), PROMPT) == "Hello"
    assert len(server.requests) == 2


@pytest.mark.parametrize("properly", [True, False])
async def test_a_cut_off_text_is_final(properly: bool) -> None:
    async def cut(exchange: Exchange) -> None:
        await begin(exchange)
        await say(exchange, "Half a ")
        if properly:
            await exchange.end()
        else:
            await exchange.hang_up()

    async with fake_server(cut, complete("Hello")) as server:
        failure = await fails(text_settings(server))
    assert failure.detail == "the text service broke off before the text was complete"
    assert len(server.requests) == 1


async def test_the_idle_timeout_ends_a_text() -> None:
    async def fall_silent(exchange: Exchange) -> None:
        await begin(exchange)
        await say(exchange, "Half a ")
        await exchange.wait_for_close()

    async with fake_server(fall_silent) as server:
        failure = await fails(text_settings(server, idle_seconds=0.3))
    assert failure.detail == "the text service said nothing for 0.3 s"
    assert len(server.requests) == 1


async def test_the_idle_timeout_before_the_text_is_retried() -> None:
    async with fake_server(hang, complete("Hello")) as server:
        assert await generate_text(make(text_settings(server, idle_seconds=1)), PROMPT) == "Hello"


async def test_the_timeout_ends_a_text() -> None:
    async def talk_on(exchange: Exchange) -> None:
        await begin(exchange)
        while True:
            await say(exchange, "and ")
            await trio.sleep(0.01)

    async with fake_server(talk_on) as server:
        failure = await fails(text_settings(server, timeout_seconds=0.5))
    assert failure.detail == "the text was not complete after 0.5 s"


async def test_the_timeout_between_attempts_reports_the_last_failure() -> None:
    async with fake_server(refuse(500)) as server:
        failure = await fails(text_settings(server, timeout_seconds=0.5, retry=SLOW_RETRY))
    assert failure.detail == "the text service failed (HTTP 500)"


async def test_a_text_beyond_its_limit_is_a_failure() -> None:
    async def talk_on(exchange: Exchange) -> None:
        await begin(exchange)
        while True:
            await say(exchange, "and on ")

    async with fake_server(talk_on) as server:
        failure = await fails(text_settings(server, max_text_bytes=1000))
    assert failure.detail == "the text is longer than 1000 bytes"


async def test_a_malformed_chunk_is_a_failure() -> None:
    async def babble(exchange: Exchange) -> None:
        await begin(exchange)
        await say(exchange, "Hello")
        await exchange.data(b"data: {not json\n\n")
        await finish(exchange)

    async with fake_server(babble) as server:
        failure = await fails(text_settings(server))
    assert failure.detail == "the text service sent what cannot be read"


@pytest.mark.parametrize(
    "headers", [{"Content-Type": "application/json"}, {"Content-Encoding": "gzip"}, {"Content-Type": ""}]
)
async def test_an_answer_that_is_no_event_stream_is_final(headers: dict[str, str]) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.head(200, {**STREAM, **headers})
        await say(exchange, "Hello")
        await finish(exchange)

    async with fake_server(answer) as server:
        failure = await fails(text_settings(server))
    assert "the text service" in failure.detail
    assert len(server.requests) == 1


async def test_an_error_response_with_an_endless_body_is_read_for_a_bounded_time() -> None:
    async def never_end(exchange: Exchange) -> None:
        await exchange.head(401, STREAM)
        await exchange.data(b"no")
        await exchange.wait_for_close()

    async with fake_server(never_end) as server:
        with trio.fail_after(20):
            failure = await fails(text_settings(server))
    assert "configured key" in failure.detail


async def test_leaving_a_text_early_closes_the_connection() -> None:
    closed = trio.Event()

    async def answer(exchange: Exchange) -> None:
        await begin(exchange)
        await say(exchange, "one ")
        await exchange.wait_for_close()
        closed.set()

    async with fake_server(answer) as server:
        async with make(text_settings(server)).generate(PROMPT) as pieces:
            assert await anext(pieces) == "one "
        with trio.fail_after(20):
            await closed.wait()


@pytest.mark.parametrize("begun", [True, False])
async def test_cancelling_closes_the_connection(begun: bool) -> None:
    waiting, closed = trio.Event(), trio.Event()

    async def answer(exchange: Exchange) -> None:
        if begun:
            await begin(exchange)
            await say(exchange, "one ")
        waiting.set()
        await exchange.wait_for_close()
        closed.set()

    async with fake_server(answer) as server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(generate_text, make(text_settings(server)), PROMPT)
            await waiting.wait()
            nursery.cancel_scope.cancel()
        with trio.fail_after(20):
            await closed.wait()
    assert len(server.requests) == 1  # the cancellation is no failure to retry


async def test_cancelling_ends_the_wait_for_the_next_attempt() -> None:
    refused = trio.Event()

    async def fail(exchange: Exchange) -> None:
        await refuse(500)(exchange)
        refused.set()

    async with fake_server(fail) as server, trio.open_nursery() as nursery:
        nursery.start_soon(generate_text, make(text_settings(server, retry=SLOW_RETRY)), PROMPT)
        await refused.wait()
        nursery.cancel_scope.cancel()


async def test_one_generator_serves_many_texts_at_once() -> None:
    texts: dict[int, str] = {}

    async def answer(exchange: Exchange) -> None:
        await complete("for ", exchange.request.json["messages"][1]["content"])(exchange)

    async with fake_server(answer) as server:
        generator = make(text_settings(server))

        async def ask(number: int) -> None:
            texts[number] = await generate_text(
                generator, Prompt(purpose="test", system="", user=str(number))
            )

        async with trio.open_nursery() as nursery:
            for number in range(30):
                nursery.start_soon(ask, number)
    assert texts == {number: f"for {number}" for number in range(30)}
