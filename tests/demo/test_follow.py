"""A followed file: the first position, the end of a line, and rotation."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from streamd.demo import FileFollower, LineSplitter, follow_lines

POLL_SECONDS = 0.005


def trickle(splitter: LineSplitter, text: bytes) -> list[str]:
    return [line for byte in text for line in splitter.feed(bytes([byte]))]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"\n\n", ["", ""]),
        (b"windows\r\nalso\r\n", ["windows", "also"]),
        (b"caf\xc3\xa9\n", ["café"]),
        (b"\xff\xfe\n", ["��"]),
        (b"no newline yet", []),
        (b"12345678\n", ["12345678"]),
        (b"1234567890\nnext\n", ["12345678 … [2 more bytes cut]", "next"]),
        (b"1234567\xc3\xa9\n", ["1234567 … [1 more bytes cut]"]),
    ],
)
def test_any_split_gives_the_same_lines(text: bytes, lines: list[str]) -> None:
    assert LineSplitter(max_line_bytes=8).feed(text) == lines
    assert trickle(LineSplitter(max_line_bytes=8), text) == lines


def test_the_splitter_buffers_no_more_than_its_limit() -> None:
    splitter = LineSplitter(max_line_bytes=8)
    for _ in range(1_000):
        splitter.feed(b"x" * 1_000)
    assert len(splitter._line) == 8
    assert splitter.finish() == ["xxxxxxxx … [999992 more bytes cut]"]
    assert splitter.finish() == []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.log"


@pytest.fixture
def follower(path: Path) -> Iterator[FileFollower]:
    with FileFollower(path, poll_seconds=POLL_SECONDS) as follower:
        yield follower


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def polls(follower: FileFollower, times: int = 4) -> list[str]:
    """Return the lines of a few looks; a rotation needs three."""
    return [line for _ in range(times) for line in follower.poll()]


def test_an_existing_file_is_followed_from_its_end(path: Path, follower: FileFollower) -> None:
    append(path, "old\n")
    assert polls(follower) == []
    append(path, "new\n")
    assert polls(follower) == ["new"]


def test_an_unfinished_last_line_is_read_from_its_start(path: Path, follower: FileFollower) -> None:
    append(path, "old\nhalf a ")
    assert polls(follower) == []
    append(path, "line\n")
    assert polls(follower) == ["half a line"]


def test_a_file_that_appears_later_is_read_from_its_beginning(path: Path, follower: FileFollower) -> None:
    assert polls(follower) == []
    append(path, "first\nsecond\n")
    assert polls(follower) == ["first", "second"]


def test_a_partial_line_waits_for_its_newline(path: Path, follower: FileFollower) -> None:
    polls(follower)
    append(path, "be")
    assert polls(follower) == []
    append(path, "gun\nnext")
    assert polls(follower) == ["begun"]


def test_a_truncated_file_is_read_from_its_beginning(path: Path, follower: FileFollower) -> None:
    append(path, "a long line that is there already\n")
    polls(follower)
    append(path, "kept back")
    polls(follower)
    path.write_text("short\n")
    assert polls(follower) == ["kept back", "short"]


def test_a_rotated_file_is_read_to_its_end_before_the_new_one(path: Path, follower: FileFollower) -> None:
    append(path, "one\n")
    polls(follower)
    moved = path.rename(path.with_suffix(".1"))
    append(moved, "two\n")
    assert polls(follower) == ["two"]  # there is no new file yet, so the old one is followed
    append(moved, "three\n")
    append(path, "five\n")
    assert follower.poll() == ["three"]
    assert follower.poll() == []  # this look finds the new file …
    append(moved, "four, without newline")  # … but the writer has not switched to it
    assert polls(follower) == ["four, without newline", "five"]


def test_a_recreated_file_is_read_from_its_beginning(path: Path, follower: FileFollower) -> None:
    append(path, "one\n")
    polls(follower)
    path.unlink()
    assert polls(follower) == []
    append(path, "two\n")
    assert polls(follower) == ["two"]


def test_a_long_backlog_is_read_in_pieces_and_in_order(path: Path, follower: FileFollower) -> None:
    polls(follower)
    expected = [f"line {number} {'x' * 100}" for number in range(6_000)]
    append(path, "".join(f"{line}\n" for line in expected))
    first = follower.poll()
    assert 0 < len(first) < len(expected)
    assert first + polls(follower) == expected


def test_a_path_that_is_no_regular_file_is_an_error_and_does_not_block(
    path: Path, follower: FileFollower
) -> None:
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        follower.poll()
    path.unlink()
    append(path, "old\n")
    polls(follower)
    append(path, "a file after all\n")
    assert polls(follower) == ["a file after all"]


async def test_cancelling_a_wait_for_lines_loses_none(path: Path) -> None:
    with follow_lines(path, poll_seconds=POLL_SECONDS) as follower:
        with trio.move_on_after(4 * POLL_SECONDS) as scope:
            await anext(follower)
        assert scope.cancelled_caught
        append(path, "one\ntwo\n")
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(follower)
        assert scope.cancelled_caught
        with trio.fail_after(10):
            assert await anext(follower) == ["one", "two"]
