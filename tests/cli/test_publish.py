"""`streamd publish` from end to end: a process, a real socket, a terminal."""

import os
import pty
import signal
from pathlib import Path

import pytest
import trio

from streamd.cli.lines import CHUNK_BYTES, LINE_BYTES_MAX, InputLine, LineReader
from tests.support.fake_streamd import FakeStreamd, HangUp, refuse
from tests.support.json_texts import nested
from tests.support.program import run, started, started_on


def data(server: FakeStreamd) -> list[str]:
    return [event.data for event in server.events]


async def test_publishing_an_event_prints_its_id(server: FakeStreamd) -> None:
    done = await run(
        "publish", "--url", server.url, "-t", "t", "-t", "u", "--type", "note", "--retry", "9", "hi"
    )
    [event] = server.events
    assert (done.returncode, done.stdout, done.stderr) == (0, event.id + "\n", "")
    assert (event.topics, event.type, event.data, event.retry_ms) == (("t", "u"), "note", "hi", 9)


async def test_json_and_the_idempotency_key_reach_the_server(server: FakeStreamd) -> None:
    arguments = ("publish", "-t", "t", "--json", "--idempotency-key", "k", '{"a": [1.50]}')
    first = await run(*arguments, STREAMD_URL=server.url)
    second = await run(*arguments, STREAMD_URL=server.url)
    assert first.stdout == second.stdout != ""
    assert data(server) == ['{"a":[1.50]}']


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "data is empty"),
        (b"{", "data is not valid JSON: it ends too early"),
        (b'{"a": 1, "a": 2}', 'data has two members named "a"'),
        (b"[NaN]", "data[0] must be a finite number (JSON has no NaN and no Infinity)"),
        (b'{"a": "\xff"}', "data.a is not valid UTF-8 (byte 7)"),
        (rb'"\ud800"', "data has half of a surrogate pair, which UTF-8 cannot encode"),
        (nested(65), "data is nested deeper than 64 levels"),
    ],
)
async def test_data_outside_of_the_profile_of_json_is_named(data: bytes, says: str) -> None:
    done = await run("publish", "-t", "t", "--json", os.fsdecode(data))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f"Error: {says}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("-t", "t", "--json", "{"),
        ("x",),
        ("-t", "t", "--idempotency-key", "k"),
        ("-t", "t", "--file", "README.md", "x"),
        ("-t", "t", "--file", "nowhere/place"),
        ("-t", "t", "--file", "."),
        ("-t", "t", "--url", "nowhere", "x"),
        ("-t", "t", "--retry", "soon", "x"),
    ],
)
async def test_wrong_usage_is_status_2(arguments: tuple[str, ...]) -> None:
    done = await run("publish", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("as_input", [False, True])
async def test_a_file_is_published_as_bytes(server: FakeStreamd, tmp_path: Path, *, as_input: bool) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(range(256)) * 100)
    with path.open() as file:
        arguments = ("publish", "--url", server.url, "-t", "t", "--file", "-" if as_input else str(path))
        async with started_on(*arguments, stdin=file.fileno()) as program:
            assert await program.ended() == 0
            [event] = server.events
            assert await program.rest() == event.id + "\n"
    assert event.value == path.read_bytes()


async def test_a_file_may_hold_the_json_of_the_data(server: FakeStreamd, tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text('{ "sum": 1.50,\n "key": "\u00fc" }\n')
    arguments = ("publish", "-t", "t", "--json", "--file", str(path), "--idempotency-key", "k")
    for _ in range(2):
        assert (await run(*arguments, STREAMD_URL=server.url)).returncode == 0
    assert data(server) == ['{"sum":1.50,"key":"\u00fc"}']


async def test_a_file_that_is_too_large_is_refused_before_it_is_sent(
    server: FakeStreamd, tmp_path: Path
) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(LINE_BYTES_MAX + 1))
    done = await run("publish", "--url", server.url, "-t", "t", "--file", str(path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Error: {path}: the file is larger than {LINE_BYTES_MAX} bytes\n"
    assert server.requests == []


async def test_a_rejection_is_status_1_with_the_servers_detail(server: FakeStreamd) -> None:
    done = await run("publish", "--url", server.url, "-t", "t", "--type", "gap", "x")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: type 'gap' is reserved")
    assert "400 invalid-field, field 'type'" in done.stderr


async def test_an_absent_server_is_an_error_after_the_time_for_retries(server: FakeStreamd) -> None:
    await server.stop()
    done = await run("publish", "--url", server.url, "-t", "t", "--retry-for", "0.1", "x")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


async def test_each_line_is_published_as_it_arrives(server: FakeStreamd) -> None:
    async with started("publish", "--url", server.url, "-t", "t") as program:
        for line in ("one", "two", "", "drei \u00fc\u2028 and on"):
            await program.write(line + "\n")
            # The next line is written after this one is published: nothing waits for a full buffer.
            await server.until(lambda line=line: data(server)[-1:] == [line])  # type: ignore[misc]
        await program.write("five\r\nsix without an end")
        await program.end_of_input()
        assert await program.ended() == 0
        assert (await program.rest(1), await program.rest(2)) == ("", "")
    assert data(server) == ["one", "two", "", "drei \u00fc\u2028 and on", "five", "six without an end"]


async def test_a_file_is_published_in_few_requests_and_in_order(server: FakeStreamd, tmp_path: Path) -> None:
    path = tmp_path / "some.log"
    lines = [f"line {number} " + "x" * (number % 97) for number in range(5000)]
    path.write_text("\n".join(lines))
    with path.open() as file:
        async with started_on("publish", "--url", server.url, "-t", "t", "-", stdin=file.fileno()) as program:
            assert await program.ended() == 0
    assert data(server) == lines
    assert len(server.requests) <= 60


async def test_lost_answers_and_a_restart_neither_lose_nor_repeat_lines(server: FakeStreamd) -> None:
    server.script.extend([HangUp(), refuse(503, {"retry-after": "0"})])
    async with started("publish", "--url", server.url, "-t", "t") as program:
        await program.write("1\n2\n")
        await server.until(lambda: len(server.requests) >= 3 and len(server.events) >= 2)
        await server.stop()
        await program.write("3\n4\n")
        assert server.url in await program.says("waiting for")
        await server.start()
        await program.write("5\n")
        await program.end_of_input()
        assert await program.ended() == 0
        assert "publishing again" in await program.rest(2)
    assert data(server) == ["1", "2", "3", "4", "5"]


async def test_an_invalid_line_is_reported_by_number_and_the_others_are_published(
    server: FakeStreamd,
) -> None:
    text = '{"a":1}\nnope\n\n "text" \n{"b":\n[1] 2\n3'
    done = await run("publish", "--url", server.url, "-t", "t", "--json", input=text)
    assert done.returncode == 1
    assert [event.value for event in server.events] == [{"a": 1}, "text", 3]
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["line 2", "line 5", "line 6"]


async def test_a_rejected_line_is_reported_and_the_others_are_published(server: FakeStreamd) -> None:
    done = await run("publish", "--url", server.url, "-t", "t", input=f"1\n{'x' * 1_100_000}\n3\n")
    assert done.returncode == 1
    assert data(server) == ["1", "3"]
    assert done.stderr.startswith("line 2: ")
    assert "413 too-large" in done.stderr


async def test_an_invalid_common_field_is_reported_once(server: FakeStreamd) -> None:
    done = await run("publish", "--url", server.url, "-t", "t", "--type", "gap", input="1\n2\n3\n")
    assert done.returncode == 1
    assert done.stderr.count("reserved") == 1


async def test_ctrl_c_ends_at_once_and_reports_the_lines_sent(server: FakeStreamd) -> None:
    async with started("publish", "--url", server.url, "-t", "t") as program:
        await program.write("1\n2\n3\n")
        await server.until(lambda: len(server.events) == 3)
        # The next request follows the answer to this one.
        server.script.append(refuse(503, {"retry-after": "300"}))
        await program.write("4\n")
        await program.says("waiting for")
        program.signal(signal.SIGINT)
        assert await program.ended() == 130
        assert (await program.rest(2)).splitlines()[-1] == "interrupted: 3 lines sent, 1 not confirmed"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signals_end_a_wait_for_input(server: FakeStreamd, number: signal.Signals) -> None:
    async with started("publish", "--url", server.url, "-t", "t", "--quiet") as program:
        await program.write("1\n")
        await server.until(lambda: len(server.events) == 1)
        program.signal(number)
        assert await program.ended() == 128 + number
        assert await program.rest(2) == ""


async def test_a_terminal_has_a_live_line(server: FakeStreamd) -> None:
    ours, theirs = pty.openpty()
    try:
        async with started_on("publish", "--url", server.url, "-t", "t", stderr=theirs) as program:
            os.close(theirs)
            await program.write("1\n2\n")
            await server.until(lambda: len(server.events) == 2)
            shown = ""
            while "2 lines sent, 0 waiting" not in shown:
                shown += (await trio.to_thread.run_sync(os.read, ours, 1024)).decode()
            await program.end_of_input()
            assert await program.ended() == 0
    finally:
        os.close(ours)
    assert "\x1b[" in shown


async def test_control_codes_are_written_to_terminals_only(server: FakeStreamd) -> None:
    await server.stop()
    done = await run("publish", "--url", server.url, "-t", "t", "--retry-for", "1", "x", FORCE_COLOR="1")
    assert "\x1b" not in done.stderr


async def test_any_split_of_the_input_gives_the_same_lines() -> None:
    text = b"a\n\nb\r\n" + b"c" * (CHUNK_BYTES + 5) + b"\nlast"
    for cut in (1, 2, 3, 5, len(text) - 3):
        assert await read_lines([text[:cut], text[cut:]]) == [
            InputLine(1, b"a"),
            InputLine(2, b""),
            InputLine(3, b"b"),
            InputLine(4, b"c" * (CHUNK_BYTES + 5)),
            InputLine(5, b"last"),
        ]


async def test_a_line_beyond_the_limit_is_skipped() -> None:
    parts = [b"a\n" + b"x" * LINE_BYTES_MAX, b"x", b"xx\nb\n" + b"y" * LINE_BYTES_MAX + b"yy"]
    assert await read_lines(parts) == [
        InputLine(1, b"a"),
        InputLine(2, None),
        InputLine(3, b"b"),
        InputLine(4, None),
    ]


async def read_lines(parts: list[bytes]) -> list[InputLine]:
    theirs, ours = os.pipe()
    lines: list[InputLine] = []
    reader = LineReader(theirs)

    def write() -> None:
        for part in parts:
            view = memoryview(part)
            while view:
                view = view[os.write(ours, view) :]
        os.close(ours)

    try:
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.to_thread.run_sync, write)
                nursery.start_soon(reader.run)
                while some := await reader.take(3, 100):
                    assert len(some) <= 3
                    lines += some
    finally:
        os.close(theirs)
    assert reader.lines_read == len(lines)
    return lines


async def test_help_shows_an_example() -> None:
    done = await run("publish", "--help")
    assert done.returncode == 0
    assert "tail -f some.log | streamd publish --topic logs" in done.stdout
