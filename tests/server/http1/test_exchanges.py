"""Requests and responses on real sockets: bodies, upgrades, keep-alive, lingering close, and failures."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from tests.support.certificates import trusting, write_certificate
from tests.support.echo_server import LARGE, MEDIUM, echoing
from tests.support.raw_answers import exchange, parse_answers
from tests.support.sockets import connect
from tests.support.waiting import until

LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADES = {
    "none": "",
    "h2c": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    "websocket by POST": "Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "without Connection": "Upgrade: websocket\r\n",
}
on_each_upgrade = pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)


def post(body: bytes, *, path: str = "/", chunked: bool = False, extra: str = "") -> bytes:
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    content = b"%x\r\n%b\r\n0\r\nTrailer: dropped\r\n\r\n" % (len(body), body) if chunked else body
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{framing}\r\n{extra}\r\n".encode() + content


@on_each_upgrade
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_a_body_that_looks_like_a_request_is_a_body(upgrade: str, chunked: bool) -> None:
    async with echoing() as server:
        sent = post(HIDDEN, chunked=chunked, extra=upgrade) + LAST
        first, last = await exchange(server.url, sent, "POST", "GET")
        assert json.loads(first.body).encode() == HIDDEN
        assert (first.status, last.status) == (200, 200)
        assert server.paths == ["/", "/last"]


@pytest.mark.parametrize("size", [1, 13, 1000])
async def test_requests_may_be_cut_anywhere(size: int) -> None:
    async with echoing() as server:
        sent = b"\r\n" + post(HIDDEN) + b"\r\n" + post(HIDDEN, chunked=True) + HIDDEN + LAST
        async with await connect(server.url) as stream:
            for start in range(0, len(sent), size):
                await stream.send_all(sent[start : start + size])
                await trio.lowlevel.checkpoint()
            received = b"".join([bytes(part) async for part in stream])
        answers, rest = parse_answers(received, ["POST", "POST", "GET", "GET"])
        assert [answer.status for answer in answers] == [200] * 4
        assert rest == b""
        assert server.paths == ["/", "/", "/hidden", "/last"]


async def test_1500_pipelined_requests_are_answered_in_order_and_others_in_between() -> None:
    async with echoing() as server:
        stream = await connect(server.url)
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, b"".join([HIDDEN] * 1500) + LAST)
            await until(lambda: len(server.paths) > 10)
            [answer] = await exchange(server.url, LAST)
            assert answer.status == 200
            assert server.paths.index("/last") < 1500
            received = b"".join([bytes(part) async for part in stream])
        assert received.count(b"HTTP/1.1 200 OK\r\n") == 1501


async def test_bytes_behind_connection_close_are_ignored() -> None:
    async with echoing() as server:
        [answer] = await exchange(server.url, LAST + HIDDEN + b"\x00garbage")
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        assert server.paths == ["/last"]


@pytest.mark.parametrize("keeps", [True, False])
async def test_http_1_0_is_kept_alive_only_if_asked(keeps: bool) -> None:
    async with echoing() as server:
        asked = b"Connection: keep-alive\r\n" if keeps else b""
        sent = b"GET /a HTTP/1.0\r\n%b\r\nGET /b HTTP/1.0\r\n\r\n" % asked
        first, *rest = await exchange(server.url, sent, *(["GET"] * (1 + keeps)))
        assert first.headers["connection"] == ("keep-alive" if keeps else "close")
        assert len(rest) == keeps


async def test_a_body_of_unknown_length_ends_with_the_connection_on_http_1_0() -> None:
    async with echoing() as server:
        [answer] = await exchange(server.url, b"GET /chunks HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert answer.body == b"onetwo!"
        assert "transfer-encoding" not in answer.headers
        [answer] = await exchange(server.url, LAST.replace(b"/last", b"/chunks"))
        assert answer.body == b"onetwo!"
        assert answer.headers["transfer-encoding"] == "chunked"


@pytest.mark.parametrize("status", [200, 204, 206, 299, 304, 404, 418, 426, 499, 503, 599])
async def test_every_status_has_a_reason(status: int) -> None:
    async with echoing() as server:
        path = f"/status?{status}".encode()
        [answer] = await exchange(server.url, LAST.replace(b"/last", path))
        assert answer.status == status
        assert answer.reason
        assert ("content-length" in answer.headers) is (status != 204)
        assert answer.headers["date"].endswith(" GMT")


async def test_head_has_the_headers_and_no_body() -> None:
    async with echoing() as server:
        sent = HIDDEN.replace(b"GET /hidden", b"HEAD /large") + LAST
        head, last = await exchange(server.url, sent, "HEAD", "GET")
        assert head.headers["content-length"] == str(len(LARGE))
        assert (head.body, last.status) == (b"", 200)


async def test_options_of_the_server_names_its_methods() -> None:
    async with echoing() as server:
        sent = b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        [answer] = await exchange(server.url, sent, "OPTIONS")
        assert answer.status == 204
        assert "OPTIONS" in answer.headers["allow"]
        assert server.paths == []


# --- bodies that are not read -------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_a_client_reads_the_refusal_of_a_body_that_it_is_still_sending(chunked: bool) -> None:
    body = b"x" * 5_000_000
    async with echoing() as server:
        stream = await connect(server.url)
        async with stream:
            await stream.send_all(post(body, path="/refuse", chunked=chunked))  # without reading meanwhile
            received = b"".join([bytes(part) async for part in stream])
        [answer], rest = parse_answers(received, ["POST"])
        assert (answer.status, answer.body, rest) == (413, b"too much", b"")
        assert answer.headers["connection"] == "close"


async def test_a_small_rest_of_a_body_is_read_and_the_connection_reused() -> None:
    async with echoing() as server:
        sent = post(b"x" * 1000, path="/refuse") + LAST
        refused, last = await exchange(server.url, sent, "POST", "GET")
        assert (refused.status, last.status) == (413, 200)
        assert "connection" not in refused.headers


@pytest.mark.parametrize("path", ["/refuse", "/"])
async def test_100_is_sent_only_when_the_application_reads_the_body(path: str) -> None:
    async with echoing() as server:
        stream = await connect(server.url)
        async with stream:
            head, body = post(b"hello", path=path, extra="Expect: 100-continue\r\n").split(b"\r\n\r\n")
            await stream.send_all(head + b"\r\n\r\n")
            first = bytes(await stream.receive_some())
            if path == "/refuse":
                [answer], _ = parse_answers(first, ["POST"])
                assert (answer.status, answer.headers["connection"]) == (413, "close")
                assert await stream.receive_some() == b""
                return
            assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
            await stream.send_all(body)
            [answer], _ = parse_answers(bytes(await stream.receive_some()), ["POST"])
            assert (answer.status, answer.body) == (200, b'"hello"')


async def test_no_100_is_sent_to_a_client_that_has_begun_its_body() -> None:
    async with echoing() as server:
        sent = post(b"hello", extra="Expect: 100-continue\r\n") + LAST
        async with await connect(server.url) as stream:
            await stream.send_all(sent)
            received = b"".join([bytes(part) async for part in stream])
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("eof", [True, False])
async def test_a_malformed_chunk_is_answered_400_and_the_application_told(eof: bool) -> None:
    sent = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n" + HIDDEN
    async with echoing() as server:
        [answer] = await exchange(server.url, sent, "POST", eof=eof)
        assert (answer.status, answer.headers["connection"]) == (400, "close")
        assert json.loads(answer.body)["code"] == "malformed-request"
        assert server.paths == ["/"]


# --- refusals and failures ----------------------------------------------------------------------------


async def test_a_refusal_below_the_application_is_a_problem_and_logged() -> None:
    with capture_logs() as logs:
        async with echoing() as server:
            [answer] = await exchange(server.url, b"get / HTTP/1.1\r\nHost: x\r\n\r\n" + HIDDEN * 3000)
            assert server.paths == []
    problem = json.loads(answer.body)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["connection"] == "close"
    assert (problem["status"], problem["title"], problem["type"]) == (400, "Bad Request", "about:blank")
    assert [entry["status"] for entry in logs if entry["event"] == "request_malformed"] == [400]


@pytest.mark.parametrize("path", ["/raise", "/held", "/inject"])
async def test_an_application_that_fails_before_its_body_is_answered_500(path: str) -> None:
    with capture_logs() as logs:
        async with echoing() as server:
            [answer] = await exchange(server.url, HIDDEN.replace(b"/hidden", path.encode()))
            assert answer.status == 500
            assert json.loads(answer.body)["code"] == "internal"
    assert [entry["path"] for entry in logs if entry["log_level"] == "error"] == [path]


async def test_no_more_is_sent_than_content_length_announced() -> None:
    with capture_logs():
        async with echoing() as server:
            [answer] = await exchange(server.url, HIDDEN.replace(b"/hidden", b"/long"))
            assert answer.status == 500


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("behind", [b"", HIDDEN], ids=["nothing", "a request"])
async def test_a_client_that_leaves_while_it_waits_is_noticed(
    tls: bool, behind: bytes, tmp_path: Path
) -> None:
    files: dict[str, Any] = (
        {"certfile": write_certificate(tmp_path), "keyfile": write_certificate(tmp_path)} if tls else {}
    )
    async with echoing(**files) as server:
        stream = await connect(server.url, tls=trusting("http/1.1") if tls else None)
        async with stream:
            await stream.send_all(HIDDEN.replace(b"/hidden", b"/watch"))
            await until(lambda: server.paths == ["/watch"])
            await stream.send_all(behind)
        await until(lambda: server.messages == ["left"])


async def test_a_large_answer_to_a_slow_client_is_whole() -> None:
    async with echoing(send_buffer_bytes=4608) as server:
        sent = HIDDEN.replace(b"/hidden", b"/large") * 3 + LAST
        answers = await exchange(server.url, sent, "GET", "GET", "GET", "GET")
        assert [len(answer.body) for answer in answers[:3]] == [len(LARGE)] * 3


async def test_an_answer_to_a_slow_client_is_whole_although_the_connection_would_be_idle() -> None:
    """The last part of a small answer is not waited for."""
    async with echoing(send_buffer_bytes=4608, keep_alive_seconds=0.05) as server:
        sock = trio.socket.socket()
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
        host, port = server.url.rpartition("/")[2].split(":")
        await sock.connect((host, int(port)))
        async with trio.SocketStream(sock) as stream:
            await stream.send_all(HIDDEN.replace(b"/hidden", b"/medium"))
            await until(lambda: server.paths == ["/medium"])
            async with await connect(
                server.url
            ) as idle:  # a later one, which the server closes at its timeout
                await idle.send_all(HIDDEN)
                assert b"".join([bytes(part) async for part in idle])
            received = b"".join([bytes(part) async for part in stream])
    [answer], _ = parse_answers(received, ["GET"])
    assert len(answer.body) == len(MEDIUM)


# --- chunks, which are decoded some hundred at a time -------------------------------------------------


@pytest.mark.parametrize("lines", [500, 1200])
async def test_trailers_that_were_received_at_once_are_read_at_once(lines: int) -> None:
    async with echoing() as server:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        sent = head + b"2\r\nab\r\n0\r\n" + b"a: b\r\n" * lines + b"\r\n" + LAST
        first, last = await exchange(server.url, sent, "POST", "GET")
        assert (json.loads(first.body), last.status) == ("ab", 200)


async def test_many_small_chunks_that_nobody_reads_are_discarded() -> None:
    async with echoing() as server:
        head = b"POST /chunks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        sent = head + b"1\r\nx\r\n" * 1600 + b"0\r\n\r\n" + LAST
        first, last = await exchange(server.url, sent, "POST", "GET")
        assert (first.body, last.status) == (b"onetwo!", 200)


async def test_a_client_reads_the_refusal_of_a_body_that_it_is_still_sending_over_tls(tmp_path: Path) -> None:
    """Part of the body is received, and not decrypted, when the server ends TLS."""
    pem = write_certificate(tmp_path)
    async with echoing(certfile=pem, keyfile=pem) as server:
        async with await connect(server.url, tls=trusting("http/1.1")) as stream:
            await stream.send_all(post(b"x" * 650_000, path="/refuse"))
            received = b"".join([bytes(part) async for part in stream])
    [answer], _ = parse_answers(received, ["POST"])
    assert (answer.status, answer.body) == (413, b"too much")
