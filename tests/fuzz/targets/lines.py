"""Lines of NDJSON, in a module of their own because they import all of the HTTP routes."""

from collections.abc import AsyncIterator, Iterable
from typing import Final

from streamd.http.ndjson import read_lines
from tests.fuzz.target import Target, finish, split

_LINE_BYTES_MAX: Final = 16


def _take_lines(data: bytes) -> None:
    """Read lines in parts, whose lengths are the first four bytes."""
    body = data[4:]
    *lines, rest = body.split(b"\n")
    expected = [line[: _LINE_BYTES_MAX + 1] for line in (*lines, *([rest] if rest else []))]
    assert finish(_read_lines(split(body, data[:4]))) == expected


async def _read_lines(parts: Iterable[bytes]) -> list[bytes]:
    async def arrive() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    return [line async for lines in read_lines(arrive(), _LINE_BYTES_MAX) for line in lines]


TARGETS: Final = {
    "ndjson": Target(
        _take_lines,
        (b"\1\2\3\5a\nbcd\r\n\n" + b"x" * 40 + b"\ny", b"\xff\0\0\0\n\n"),
        (b"\n", b"\r\n"),
        512,
    ),
}
