"""Compressed request bodies: gzip is inflated within bounds, every other coding is refused."""

import gzip
import json
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import InvalidBody, TooLarge, UnsupportedCoding
from streamd.events.settings import EventSettings
from streamd.http.content_coding import GzipBody, GzipDecoder, is_gzip
from streamd.http.schema import NDJSON
from streamd.settings import Settings
from tests.support.api import Api, check_problem, serving_api

SECONDS = 30
JSON = "application/json"
MAX_BYTES = 100_000
GZIP = {"Content-Encoding": "gzip"}


def inflate(data: bytes, part_bytes: int, piece_bytes: int) -> bytes:
    decoder, whole = GzipDecoder(), bytearray()
    for start in range(0, len(data), part_bytes):
        decoder.receive_data(data[start : start + part_bytes])
        while piece := decoder.next_piece(piece_bytes):
            assert len(piece) <= piece_bytes
            whole += piece
    decoder.check_end()
    return bytes(whole)


# --- the codec ------------------------------------------------------------------------------------


@given(
    st.lists(st.binary(max_size=600) | st.integers(0, 5000).map(bytes), min_size=1, max_size=4),
    st.integers(1, 700),
    st.integers(1, 700),
)
def test_members_inflate_to_their_texts_in_any_parts_and_pieces(
    texts: list[bytes], part_bytes: int, piece_bytes: int
) -> None:
    data = b"".join(map(gzip.compress, texts))
    assert inflate(data, part_bytes, piece_bytes) == b"".join(texts)


def packed(text: bytes) -> bytes:
    """Compress a text to the same bytes at any time: processes that share the tests must name them alike."""
    return gzip.compress(text, mtime=0)


@pytest.mark.parametrize("part_bytes", [1, 7, 10_000])
@pytest.mark.parametrize(
    "data",
    [
        b"no gzip",
        b'{"topic":"a"}',
        zlib.compress(b"text"),  # that is deflate
        packed(b"text") + b"garbage",
        packed(b"text") + b"\0\0\0\0",
        packed(b"text" * 50)[:-1],
        packed(b"text")[:5],
        packed(b"text") + packed(b"more")[:12],
        packed(b"text")[:-8] + b"\0" * 8,  # a wrong checksum
    ],
)
def test_what_is_not_gzip_to_its_end_is_rejected(data: bytes, part_bytes: int) -> None:
    with pytest.raises(InvalidBody, match="not valid gzip"):
        inflate(data, part_bytes, 1000)


@pytest.mark.parametrize("part_bytes", [7, 4096, 1_000_000])
def test_a_body_has_few_empty_members_in_a_row(part_bytes: int) -> None:
    empty, full = gzip.compress(b""), gzip.compress(b"x")
    assert inflate((empty * 900 + full) * 2, part_bytes, 100) == b"xx"
    with pytest.raises(InvalidBody, match="empty gzip members"):
        inflate(full + empty * 1001, part_bytes, 100)


async def test_a_body_is_bounded_as_it_was_sent_too() -> None:
    """Members of one byte take twenty: what they inflate to does not bound the work."""

    async def parts() -> AsyncGenerator[bytes, None]:
        for _ in range(100):
            yield gzip.compress(b"x") * 1000

    received = 0
    async with aclosing(parts()) as sent:
        with pytest.raises(TooLarge):
            async for piece in GzipBody(sent, MAX_BYTES):
                received += len(piece)
    assert received < MAX_BYTES


async def test_a_bomb_is_inflated_to_one_byte_more_than_the_maximum() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield gzip.compress(bytes(50_000_000))

    body = parts()
    assert sum([len(piece) async for piece in GzipBody(body, 1000)]) == 1001
    await body.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], False),
        ([""], False),
        (["identity"], False),
        (["gzip"], True),
        (["GZip"], True),
        (["x-gzip"], True),
        (["identity, gzip"], True),
        (["identity", "gzip"], True),
    ],
)
def test_the_coding_is_that_of_all_fields(fields: list[str], expected: bool) -> None:
    assert is_gzip(fields) is expected


@pytest.mark.parametrize(
    "fields", [["br"], ["deflate"], ["gzip, gzip"], ["gzip", "gzip"], ["gzip;q=1"], ["zstd"]]
)
def test_other_codings_are_unsupported(fields: list[str]) -> None:
    with pytest.raises(UnsupportedCoding, match="must be gzip or identity"):
        is_gzip(fields)


# --- routes ---------------------------------------------------------------------------------------


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    settings = Settings(
        events=EventSettings(max_body_bytes=MAX_BYTES, max_event_bytes=60_000, max_line_bytes=70_000)
    )
    with trio.fail_after(SECONDS):
        async with serving_api(settings) as api:
            yield api


async def post(api: Api, path: str, content: Any, media_type: str = JSON, **headers: str) -> httpx.Response:
    fields = {
        "Content-Type": media_type,
        **GZIP,
        **{name.replace("_", "-"): text for name, text in headers.items()},
    }
    return await api.http.post(path, content=content, headers=fields)


async def published(api: Api) -> list[Any]:
    answer = await api.http.get("/events/poll", params={"topic": "a", "after": "earliest", "wait": "0"})
    return [event["data"] for event in answer.json()["events"]]


async def test_every_kind_of_body_may_be_compressed(api: Api) -> None:
    one, many = {"topic": "a", "data": "1"}, [{"topic": "a", "data": "2"}, {"topic": "a", "data": "3"}]
    lines = b'{"topic": "a", "data": "4"}\n{"topic": "a", "data": "5"}'
    assert (await post(api, "/events", gzip.compress(json.dumps(one).encode()))).status_code == 201
    assert (await post(api, "/events", gzip.compress(json.dumps(many).encode()))).status_code == 201
    assert (await post(api, "/events", gzip.compress(lines), NDJSON)).status_code == 200
    assert await published(api) == ["1", "2", "3", "4", "5"]
    assert (await post(api, "/tasks", gzip.compress(b'{"kind": "k", "id": "t"}'))).status_code == 201
    assert (await post(api, "/tasks/t/cancel", gzip.compress(b'{"message": "no"}'))).status_code == 200
    order = gzip.compress(b"sku,quantity,price\nA-1,2,3.50\n")
    assert (await post(api, "/api/purchase-orders?merchantId=7", order, "text/csv")).status_code == 202
    items = gzip.compress(b'{"items": [{"ticker": "A", "text": "good"}]}')
    assert (await post(api, "/api/v2/items", items)).status_code == 202


@pytest.mark.parametrize("media_type", [JSON, NDJSON])
async def test_malformed_gzip_is_400(api: Api, media_type: str) -> None:
    for content in (b'{"topic":"a"}', gzip.compress(b"{}")[:5]):
        check_problem(await post(api, "/events", content, media_type), 400, "invalid-body", "body")
    assert await published(api) == []


async def test_a_body_that_inflates_beyond_the_bound_is_413(api: Api) -> None:
    for size, status in ((MAX_BYTES - 2, 400), (MAX_BYTES - 1, 413), (100 * MAX_BYTES, 413)):
        content = gzip.compress(b'"' + b"x" * size + b'"')
        assert len(content) < MAX_BYTES
        assert (await post(api, "/events", content)).status_code == status


@pytest.mark.parametrize(("path", "media_type"), [("/events", JSON), ("/events", NDJSON), ("/tasks", JSON)])
async def test_another_coding_is_415_with_the_one_that_is_read(api: Api, path: str, media_type: str) -> None:
    answer = await post(api, path, b"x", media_type, Content_Encoding="br")
    check_problem(answer, 415, "unsupported-content-coding", "Content-Encoding")
    assert answer.headers["accept-encoding"] == "gzip"


async def test_the_415_of_a_media_type_names_no_coding(api: Api) -> None:
    answer = await post(api, "/events", gzip.compress(b"x"), "text/plain")
    check_problem(answer, 415, "unsupported-media-type", "Content-Type")
    assert "accept-encoding" not in answer.headers


async def test_lines_are_published_as_they_arrive_until_the_gzip_breaks(api: Api) -> None:
    compress = zlib.compressobj(wbits=31)
    line = b'{"topic": "a", "data": "%d"}\n'

    async def parts() -> AsyncIterator[bytes]:
        for number in range(2):
            yield compress.compress(line % number) + compress.flush(zlib.Z_SYNC_FLUSH)
            with trio.fail_after(SECONDS):
                while len(await published(api)) <= number:
                    await trio.lowlevel.checkpoint()
        yield b"\xff" * 20

    answer = await post(api, "/events", parts(), NDJSON)
    assert answer.status_code == 200
    first, second, broken = [json.loads(line) for line in answer.content.splitlines()]
    assert ("id" in first, "id" in second) == (True, True)
    assert (broken["line"], broken["error"]["code"], broken["error"]["field"]) == (3, "invalid-body", "body")


async def test_long_lines_of_a_bomb_are_refused_one_by_one(api: Api) -> None:
    content = gzip.compress((b" " * 1_000_000 + b"\n") * 30 + b'{"topic": "a", "data": "last"}')
    answer = await post(api, "/events", content, NDJSON)
    errors = [json.loads(line).get("error", {}).get("code") for line in answer.content.splitlines()]
    assert await published(api) == ["last"], errors[:3]


# --- byte order marks -----------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, GZIP])
async def test_a_byte_order_mark_before_json_is_skipped(api: Api, headers: dict[str, str]) -> None:
    for body in ('{"topic": "a", "data": "1"}', '[{"topic": "a", "data": "2"}]', '{"kind": "k"}'):
        content = b"\xef\xbb\xbf" + body.encode()
        path = "/tasks" if "kind" in body else "/events"
        sent = gzip.compress(content) if headers else content
        answer = await api.http.post(path, content=sent, headers={"Content-Type": JSON, **headers})
        assert answer.status_code == 201, answer.text
    order = b'\xef\xbb\xbf[{"sku": "A-1", "quantity": 2, "price": 3.5}]'
    fields = {"Content-Type": JSON}
    answer = await api.http.post("/api/purchase-orders?merchantId=7", content=order, headers=fields)
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("part_bytes", [1, 2, 3, 4, 1000])
async def test_a_byte_order_mark_before_the_first_line_is_skipped_and_no_other(
    api: Api, part_bytes: int
) -> None:
    content = (
        b'\xef\xbb\xbf{"topic": "a", "data": "1"}\n\xef\xbb\xbf{"topic": "a"}\n{"topic": "a", "data": "3"}'
    )

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(content), part_bytes):
            yield content[start : start + part_bytes]

    answer = await api.http.post("/events", content=parts(), headers={"Content-Type": NDJSON})
    answers = [json.loads(line) for line in answer.content.splitlines()]
    assert ["id" in each for each in answers] == [True, False, True]
    assert answers[1]["error"]["code"] == "invalid-body"


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf", b"\xef\xbb\xbf\n", b"\n\xef\xbb"])
async def test_a_mark_alone_is_a_blank_line_and_a_part_of_it_is_not(api: Api, content: bytes) -> None:
    answer = await api.http.post("/events", content=content, headers={"Content-Type": NDJSON})
    assert (answer.status_code, bool(answer.content)) == (200, content.endswith(b"\xbb"))
