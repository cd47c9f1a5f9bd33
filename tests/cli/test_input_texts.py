"""Texts as other programs write them: byte order marks before input, and joiners inside words."""

import os
from pathlib import Path

import pytest
import trio

from streamd.cli.lines import InputLine, LineReader
from streamd.cli.live import printable
from streamd.cli.task_text import one_line
from streamd.config import load
from streamd.settings import Settings
from tests.support.fake_streamd import FakeStreamd
from tests.support.program import run, started

MARK = "\ufeff"
WOMAN_CODER = "\U0001f469\u200d\U0001f4bb"
PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"


def data(server: FakeStreamd) -> list[str]:
    return [event.data for event in server.events]


async def test_a_mark_before_the_first_line_is_dropped_and_no_other(server: FakeStreamd) -> None:
    async with started("publish", "--url", server.url, "-t", "t") as program:
        await program.write(f"{MARK}one\n{MARK}two\n")
        await program.end_of_input()
        assert await program.ended() == 0
    assert data(server) == ["one", f"{MARK}two"]


async def test_a_mark_before_lines_of_json_is_dropped(server: FakeStreamd) -> None:
    async with started("publish", "--url", server.url, "-t", "t", "--json") as program:
        await program.write(f'{MARK}{{"n":1}}\n[2]\n')
        await program.end_of_input()
        assert await program.ended() == 0
    assert data(server) == ['{"n":1}', "[2]"]


async def test_a_mark_before_the_json_of_a_file_or_an_argument_is_dropped(
    server: FakeStreamd, tmp_path: Path
) -> None:
    file = tmp_path / "data.json"
    file.write_text(f'{MARK}{{"n":1}}', encoding="utf-8")
    for arguments in (("--file", str(file)), (f"{MARK}[2]",)):
        done = await run("publish", "-t", "t", "--json", *arguments, STREAMD_URL=server.url)
        assert done.returncode == 0, done.stderr
    assert data(server) == ['{"n":1}', "[2]"]


async def test_the_bytes_of_a_file_are_published_as_they_are(server: FakeStreamd, tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_text(f"{MARK}text", encoding="utf-8")
    done = await run("publish", "-t", "t", "--file", str(file), STREAMD_URL=server.url)
    assert done.returncode == 0, done.stderr
    assert server.events[0].value == file.read_bytes()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"\xef\xbb\xbf", []),
        (b"\xef\xbb\xbf\n", [b""]),
        (b"\xef\xbb", [b"\xef\xbb"]),
        (b"\n\xef\xbb\xbf", [b"", b"\xef\xbb\xbf"]),
    ],
)
async def test_a_mark_alone_is_no_line(text: bytes, lines: list[bytes]) -> None:
    theirs, ours = os.pipe()
    try:
        os.write(ours, text)
        os.close(ours)
        reader, found = LineReader(theirs), []
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reader.run)
                while some := await reader.take(10, 1000):
                    found += some
    finally:
        os.close(theirs)
    assert found == [InputLine(number, line) for number, line in enumerate(lines, 1)]


def test_a_mark_before_a_configuration_is_dropped(tmp_path: Path) -> None:
    file = tmp_path / "streamd.toml"
    file.write_text(f"{MARK}[server]\ndrain_seconds = 7\n", encoding="utf-8")
    assert load(Settings, file, environ={}).settings.server.drain_seconds == 7


@pytest.mark.parametrize("text", [WOMAN_CODER, PERSIAN, "so\u00adft"])
def test_joiners_are_printed_as_they_are(text: str) -> None:
    assert printable(text) == one_line(text) == text
