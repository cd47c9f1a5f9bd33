"""Heads of requests (RFC 9112 sections 2 to 6), whole and byte by byte."""

import pytest

from streamd.server.http1.head import HeadReader, RequestHead
from streamd.server.refusals import RequestRefused

MAX_BYTES = 4096
BEHIND = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
SIZES = pytest.mark.parametrize("size", [1, 7, 1_000_000], ids=["bytes", "pieces", "whole"])


def request(*lines: str, first: str = "GET / HTTP/1.1", host: str | None = "Host: x") -> bytes:
    """Build a head; without a host if None."""
    return "\r\n".join([first, *([host] if host is not None else []), *lines, "", ""]).encode("latin1")


def read(data: bytes, size: int, *, takes_preface: bool = False) -> tuple[RequestHead | None, bytes]:
    """Feed the bytes in pieces until the head is complete; return it with all bytes behind it."""
    reader = HeadReader(MAX_BYTES, takes_preface=takes_preface)
    for start in range(0, len(data), size):
        found = reader.feed(data[start : start + size])
        if found is not None:
            return found[0], found[1] + data[start + size :]
    raise AssertionError("the head is incomplete")


def read_head(data: bytes, size: int = 1_000_000) -> RequestHead:
    head, rest = read(data + BEHIND, size)
    assert head is not None
    assert rest == BEHIND
    return head


@SIZES
def test_a_head_is_parsed_and_the_bytes_behind_it_are_left(size: int) -> None:
    head = read_head(request("X-Odd:  a b\t ", "Empty:", first="POST /a%20b?c=d HTTP/1.1"), size)
    assert (head.method, head.target) == ("POST", b"/a%20b?c=d")
    assert head.headers == [(b"host", b"x"), (b"x-odd", b"a b"), (b"empty", b"")]
    assert (head.content_length, head.keeps_alive, head.upgrade) == (0, True, [])


@SIZES
def test_empty_lines_before_a_request_are_skipped(size: int) -> None:
    assert read_head(b"\r\n\r\n" + request(), size).target == b"/"


@SIZES
@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "TLS/1.3", "h2c, websocket"])
def test_a_head_that_asks_for_an_upgrade_is_whole(size: int, upgrade: str) -> None:
    """The parser stops at any upgrade; the body behind it belongs to the request all the same."""
    head = read_head(request("Connection: Upgrade", f"Upgrade: {upgrade}", "Content-Length: 31"), size)
    assert head.content_length == 31
    assert head.upgrade == upgrade.lower().encode().split(b", ")
    assert len(head.headers) == 4


WRONG = {
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "0.9 by name": (request(first="GET / HTTP/0.9"), 400),
    "HTTP/2.0": (request(first="GET / HTTP/2.0"), 400),
    "HTTP/1.2": (request(first="GET / HTTP/1.2"), 400),
    "HTTP/3.1": (request(first="GET / HTTP/3.1"), 400),
    "another protocol": (request(first="GET / RTSP/1.0"), 400),
    "two spaces": (request(first="GET  / HTTP/1.1"), 400),
    "lower-case method": (request(first="get / HTTP/1.1"), 400),
    "unknown method": (request(first="BREW / HTTP/1.1"), 501),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
    "bare LF": (b"GET / HTTP/1.1\nHost: x\n\n", 400),
    "no host": (request(host=None), 400),
    "two hosts": (request("Host: x"), 400),
    "a path as host": (request(host="Host: x/y"), 400),
    "a user in the host": (request(host="Host: a@x"), 400),
    "two hosts in one": (request(host="Host: x, y"), 400),
    "an open bracket": (request(host="Host: [::1"), 400),
    "a word as port": (request(host="Host: x:http"), 400),
    "two hosts in HTTP/1.0": (request("Host: x", first="GET / HTTP/1.0"), 400),
    "obs-fold": (request("X: a\r\n b"), 400),
    "space before the colon": (request("X : a"), 400),
    "control character": (request("X: a\x01b"), 400),
    "NUL": (request("X: a\x00b"), 400),
    "bare CR": (request("X: a\rb"), 400),
    "length and coding": (request("Content-Length: 3", "Transfer-Encoding: chunked"), 400),
    "coding and length": (request("Transfer-Encoding: chunked", "Content-Length: 3"), 400),
    "two lengths": (request("Content-Length: 3", "Content-Length: 3"), 400),
    "a list of lengths": (request("Content-Length: 3, 3"), 400),
    "negative length": (request("Content-Length: -3"), 400),
    "huge length": (request("Content-Length: 99999999999999999999"), 400),
    "chunked HTTP/1.0": (request("Transfer-Encoding: chunked", first="POST / HTTP/1.0"), 400),
    "gzip": (request("Transfer-Encoding: gzip", first="POST / HTTP/1.1"), 501),
    "gzip, chunked": (request("Transfer-Encoding: gzip, chunked", first="POST / HTTP/1.1"), 501),
    "chunked twice": (request("Transfer-Encoding: chunked, chunked", first="POST / HTTP/1.1"), 400),
    "two codings": (request("Transfer-Encoding: gzip", "Transfer-Encoding: chunked"), 501),
    "unknown expectation": (request("Expect: a-miracle"), 417),
    "raw UTF-8 target": (request(first="GET /\xc3\xa9 HTTP/1.1"), 400),
    "raw UTF-8 query": (request(first="GET /?a=\xc3\xa9 HTTP/1.1"), 400),
    "fragment": (request(first="GET /a#b HTTP/1.1"), 400),
    "fragment of a URL": (request(first="GET http://x/a#b HTTP/1.1"), 400),
    "no path": (request(first="GET x HTTP/1.1"), 400),
    "asterisk of GET": (request(first="GET * HTTP/1.1"), 400),
    "foreign scheme": (request(first="GET ftp://x/ HTTP/1.1"), 400),
    "user in the target": (request(first="GET http://a@x/ HTTP/1.1"), 400),
}


@SIZES
@pytest.mark.parametrize(("data", "status"), WRONG.values(), ids=WRONG)
def test_a_head_against_the_rules_is_refused(data: bytes, status: int, size: int) -> None:
    with pytest.raises(RequestRefused) as refused:
        read(data, size)
    # Byte by byte, a method is refused before the line shows that it is one of HTTP.
    assert refused.value.status == (400 if status == 501 and size < 9 and b"BREW" in data else status)


@SIZES
@pytest.mark.parametrize("is_complete", [True, False])
def test_a_head_is_bounded_in_one_read_as_in_many(size: int, is_complete: bool) -> None:
    base = len(request("X: "))
    largest = request("X: " + "x" * (MAX_BYTES - base))
    assert len(read_head(largest, size).headers) == 2
    larger = request("X: " + "x" * (MAX_BYTES + 1 - base))
    with pytest.raises(RequestRefused) as refused:
        read(larger if is_complete else larger[:-4] + b"xxxx", size)
    assert refused.value.status == 431


@SIZES
def test_empty_lines_count_for_the_size_of_a_head(size: int) -> None:
    with pytest.raises(RequestRefused):
        read(b"\r\n" * MAX_BYTES + request(), size)


@SIZES
def test_a_target_that_is_too_long_is_told(size: int) -> None:
    with pytest.raises(RequestRefused) as refused:
        read(b"GET /" + b"x" * MAX_BYTES, size)
    assert refused.value.status == 414


@SIZES
def test_the_preface_of_http2_is_recognized(size: int) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4"
    assert read(preface, size, takes_preface=True) == (None, preface)
    with pytest.raises(RequestRefused):
        read(preface, size)


@SIZES
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "PROPFIND"])
def test_a_method_that_begins_like_the_preface_is_a_request(size: int, method: str) -> None:
    head, _ = read(request(first=f"{method} / HTTP/1.1"), size, takes_preface=True)
    assert head is not None
    assert head.method == method


@pytest.mark.parametrize(
    ("lines", "first", "expected"),
    [
        ([], "GET / HTTP/1.1", True),
        (["Connection: close"], "GET / HTTP/1.1", False),
        (["Connection: x", "Connection: CLOSE"], "GET / HTTP/1.1", False),
        (["Connection: keep-alive, close"], "GET / HTTP/1.1", False),
        (["Connection: closed"], "GET / HTTP/1.1", True),
        ([], "GET / HTTP/1.0", False),
        (["Connection: Keep-Alive"], "GET / HTTP/1.0", True),
        (["Connection: keep-alive, close"], "GET / HTTP/1.0", False),
    ],
)
def test_a_connection_is_kept_alive_as_the_client_asks(lines: list[str], first: str, expected: bool) -> None:
    assert read_head(request(*lines, first=first)).keeps_alive is expected


@pytest.mark.parametrize(
    ("target", "expected", "host"),
    [
        ("http://y/a?b=c", b"/a?b=c", b"y"),
        ("HTTPS://y:1/", b"/", b"y:1"),
        ("http://[::1]:80", b"/", b"[::1]:80"),
        ("http://y?b=http://z/", b"/?b=http://z/", b"y"),
    ],
)
def test_the_authority_of_an_absolute_target_replaces_the_host(
    target: str, expected: bytes, host: bytes
) -> None:
    head = read_head(request("A: b", first=f"GET {target} HTTP/1.1"))
    assert head.target == expected
    assert head.headers == [(b"host", host), (b"a", b"b")]


def test_the_body_is_framed_by_the_head() -> None:
    assert read_head(request("Content-Length: 12")).content_length == 12
    assert read_head(request("Transfer-Encoding: Chunked")).content_length is None
    assert read_head(request("Content-Length: 12", "Expect: 100-Continue")).expects_continue
    assert not read_head(request("Expect: 100-continue")).expects_continue  # there is no body to wait for


@SIZES
@pytest.mark.parametrize("is_complete", [True, False])
def test_a_head_has_at_most_100_fields(size: int, is_complete: bool) -> None:
    assert len(read_head(request(*["a:"] * 99), size).headers) == 100
    larger = request(*["a:"] * 100)
    with pytest.raises(RequestRefused) as refused:
        read(larger if is_complete else larger[:-2] + b"b: c", size)
    assert (refused.value.status, refused.value.code) == (431, "too-many-fields")
