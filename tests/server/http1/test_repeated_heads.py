"""Heads that repeat the last one of their connection but for ``Content-Length``, which are not parsed."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.server.http1.head import HeadReader, RepeatedHead, RequestHead
from streamd.server.refusals import RequestRefused

MAX_BYTES = 4096
BEHIND = b"{}GET /next HTTP/1.1\r\n"
FIELDS = [b"Host: x", b"Content-Type: application/json", b"Content-Length: 60", b"X-Odd: content-length: 7"]


def post(length: bytes, *, fields: list[bytes] = FIELDS, first: bytes = b"POST /events HTTP/1.1") -> bytes:
    """Build a head with another ``Content-Length``."""
    lines = [b"Content-Length:" + length if line.startswith(b"Content-Length") else line for line in fields]
    return b"\r\n".join([first, *lines, b"", b""])


def read(data: bytes, repeated: RepeatedHead | None = None) -> tuple[RequestHead, RepeatedHead | None]:
    """Read a head as a connection does; return what the next one may repeat, too."""
    if repeated is not None and (rest := repeated.match(data + BEHIND)) is not None:
        assert rest == BEHIND
        return repeated.restore(), repeated
    reader = HeadReader(MAX_BYTES, takes_preface=False)
    found = reader.feed(data + BEHIND)
    assert found is not None
    head, rest = found
    assert head is not None
    assert rest == BEHIND
    return head, reader.repeated


def remembered(data: bytes) -> RepeatedHead | None:
    return read(data)[1]


def members(head: RequestHead) -> dict[str, object]:
    return {name: getattr(head, name) for name in RequestHead.__slots__}


@pytest.mark.parametrize("length", [b"1", b" 60", b" 999999999999999", b" 0", b" 007"])
def test_a_repeated_head_is_the_same_as_a_parsed_one(length: bytes) -> None:
    repeated = remembered(post(b" 60"))
    assert repeated is not None
    head, found = read(post(length), repeated)
    assert members(head) == members(read(post(length))[0])
    assert (found is repeated) == length.startswith(b" ")  # not another spelling


def test_each_head_has_a_list_of_fields_of_its_own() -> None:
    first, repeated = read(post(b" 60"))
    kept = first.headers
    second, _ = read(post(b" 61"), repeated)
    assert kept[2] == (b"content-length", b"60")
    second.headers.clear()
    assert len(read(post(b" 62"), repeated)[0].headers) == len(kept)


@pytest.mark.parametrize(
    "data",
    [
        post(b" +1"),
        post(b" 1 1"),
        post(b""),
        post(b" 1, 1"),
        post(b" 99999999999999999999999"),
        post(b" 60\r\nContent-Length: 61"),
        post(b" 60\r\nTransfer-Encoding: chunked"),
        post(b" 60\n"),
    ],
)
def test_what_only_resembles_the_last_head_is_refused_as_without_it(data: bytes) -> None:
    repeated = remembered(post(b" 60"))
    with pytest.raises(RequestRefused):
        read(data, repeated)


@pytest.mark.parametrize(
    "data",
    [
        b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n",
        post(b" 0"),
        post(b" 60", fields=[*FIELDS, b"Expect: 100-continue"]),
        post(b" 60", fields=[*FIELDS, b"Connection: Upgrade", b"Upgrade: h2c"]),
        post(b" 60", fields=[b"Host: x", b"Transfer-Encoding: chunked"]),
    ],
    ids=["no content", "empty content", "expectation", "upgrade", "chunks"],
)
def test_heads_that_need_more_than_their_size_are_not_remembered(data: bytes) -> None:
    assert remembered(data) is None


@pytest.mark.parametrize("cut", [1, 50, -1])
def test_a_part_of_a_repetition_does_not_match(cut: int) -> None:
    repeated = remembered(post(b" 60"))
    assert repeated is not None
    assert repeated.match(post(b" 61")[:cut]) is None
    assert repeated.match(post(b" 61")) == b""
    assert repeated.size == 61


FIELD = st.sampled_from(
    [
        b"Host: x",
        b"Content-Length: 60",
        b"content-length:60",
        b"CONTENT-LENGTH: 60\t",
        b"Content-Length: 6\r\n 0",
        b"X-Content-Length: 60",
        b"X: a\tb",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Expect: 100-continue",
        b"Transfer-Encoding: chunked",
    ]
)


@given(st.lists(FIELD, max_size=5), st.lists(FIELD, max_size=5), st.sampled_from([b"60", b"7", b"x"]))
def test_the_head_before_never_changes_the_next_one(
    before: list[bytes], after: list[bytes], digits: bytes
) -> None:
    repeated = None
    with suppress(RequestRefused):
        repeated = remembered(post(b" 60", fields=before))
    data = b"\r\n".join([b"POST /events HTTP/1.1", *after, b"", b""]).replace(b"60", digits)
    outcomes = []
    for known in (None, repeated):
        try:
            outcomes.append(members(read(data, known)[0]))
        except RequestRefused as refused:
            outcomes.append({"refused": (refused.status, refused.detail)})
    assert outcomes[0] == outcomes[1]
