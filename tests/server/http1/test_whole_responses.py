"""Responses whose body is known, in one step (:func:`encode_whole`), beside those in parts."""

import pytest

from streamd.server.http1.response import Field, ResponseHead, encode_chunked_head, encode_start, encode_whole

JSON: tuple[Field, ...] = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))
OWN: tuple[Field, ...] = ((b"x-request-id", b"a: b"),)


def whole(
    status: int = 200,
    fields: tuple[Field, ...] = JSON,
    own: tuple[Field, ...] = OWN,
    body: bytes = b"{}",
    *,
    is_head: bool = False,
    keeps_alive: bool = True,
) -> bytes | None:
    start = encode_start(status, fields)
    return None if start is None else encode_whole(start, own, body, is_head, keeps_alive)


def chunked_head(own: tuple[Field, ...] = OWN, *, keeps_alive: bool = True) -> bytes:
    start = encode_start(200, JSON)
    assert start is not None
    return encode_chunked_head(start, own, keeps_alive=keeps_alive)


def lines(data: bytes | None) -> tuple[bytes, list[bytes], bytes]:
    """Return the status line, the sorted fields but ``Date``, and the body."""
    assert data is not None
    head, _, body = data.partition(b"\r\n\r\n")
    first, *fields = head.split(b"\r\n")
    assert sum(field.startswith(b"date: ") for field in fields) == 1
    return first, sorted(field for field in fields if not field.startswith(b"date: ")), body


@pytest.mark.parametrize("status", [200, 201, 404, 503, 599])
@pytest.mark.parametrize("keeps_alive", [True, False])
@pytest.mark.parametrize("is_head", [True, False])
@pytest.mark.parametrize("body", [b"", b"{}"])
def test_it_is_the_same_as_a_response_in_parts(
    status: int, keeps_alive: bool, is_head: bool, body: bytes
) -> None:
    head = ResponseHead(
        status,
        [*JSON, *OWN, (b"content-length", b"%d" % len(body))],
        is_head_request=is_head,
        is_http_1_0=False,
        keeps_alive=keeps_alive,
    )
    sent = b"" if is_head else body
    assert lines(whole(status, body=body, is_head=is_head, keeps_alive=keeps_alive)) == lines(
        head.data + sent
    )


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (204, ()),
        (304, JSON),
        (200, ((b"content-length", b"7"),)),
        (200, ((b"Transfer-Encoding", b"chunked"),)),
        (200, ((b"connection", b"close"),)),
        (200, ((b"date", b"today"),)),
    ],
)
def test_what_the_framing_depends_on_is_left_to_the_other_way(status: int, fields: tuple[Field, ...]) -> None:
    assert whole(status, fields) is None


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r", b"\0"])
def test_a_field_with_a_line_break_is_never_sent(end: bytes) -> None:
    field = (b"x", b"a" + end + b"set-cookie: b")
    for fields, own in (((field,), ()), (JSON, (field,)), (JSON, (*OWN, field))):
        with pytest.raises(ValueError, match="line breaks"):
            whole(fields=fields, own=own)


@pytest.mark.parametrize("keeps_alive", [True, False])
def test_the_head_of_a_stream_is_the_same_as_that_of_a_response_in_parts(keeps_alive: bool) -> None:
    head = ResponseHead(200, [*JSON, *OWN], is_head_request=False, is_http_1_0=False, keeps_alive=keeps_alive)
    assert lines(chunked_head(keeps_alive=keeps_alive)) == lines(head.data)


@pytest.mark.parametrize("name", [b"Content-Length", b"transfer-encoding", b"connection", b"date"])
def test_a_stream_that_frames_itself_is_left_to_the_other_way(name: bytes) -> None:
    assert encode_start(200, ((name, b"7"),)) is None


def test_the_head_of_a_stream_has_no_field_with_a_line_break() -> None:
    with pytest.raises(ValueError, match="line breaks"):
        chunked_head(((b"x", b"a\r\nset-cookie: b"),))
