"""`streamd subscribe` from end to end: a process, a real socket, a terminal."""

import os
import pty
import signal
from pathlib import Path

import msgspec
import pytest
import trio

from tests.support.fake_streamd import RESUME_SECRET, FakeStreamd, refuse
from tests.support.program import Program, command, environment, run, started, started_on


async def connected(program: Program) -> None:
    await program.says("connected to")


@pytest.mark.parametrize("transport", ["sse", "websocket", "poll"])
async def test_each_event_is_printed_as_it_arrives(server: FakeStreamd, transport: str) -> None:
    async with started("subscribe", "--url", server.url, "-t", "t", "--transport", transport) as program:
        await connected(program)
        for text in ("one", "", "\u00fc\u2028"):
            server.publish(text)
            # The next event is published after this one is printed: nothing waits for a full buffer.
            assert await program.line() == text
        server.publish("two\nlines")
        assert await program.lines(2) == ["two", "lines"]


@pytest.mark.parametrize("transport", ["sse", "websocket", "poll"])
async def test_every_format_over_every_transport(server: FakeStreamd, transport: str) -> None:
    event_id = server.publish({"a": "\x1b[1m"}, type="note", topics=("t", "u"))
    base = ("subscribe", "--url", server.url, "-p", "*", "--after", "earliest", "-n", "1", "-q")
    outputs = {}
    for name, options in {
        "text": (),
        "verbose": ("-v",),
        "ids": ("-o", "ids"),
        "json": ("-o", "json"),
    }.items():
        done = await run(*base, "--transport", transport, *options)
        assert (done.returncode, done.stderr) == (0, "")
        outputs[name] = done.stdout
    data = server.events[0].data
    assert outputs["text"] == data + "\n"
    assert outputs["verbose"] == f"{event_id} note {data}\n"
    assert outputs["ids"] == event_id + "\n"
    topics = None if transport == "sse" else ["t", "u"]
    fields = {"id": event_id, "type": "note", "topics": topics, "data": data}
    assert outputs["json"] == msgspec.json.encode(fields).decode() + "\n"


@pytest.mark.parametrize("transport", ["sse", "websocket", "poll"])
async def test_bytes_are_printed_as_base64(server: FakeStreamd, transport: str) -> None:
    event_id = server.publish(bytes(range(3)))
    base = ("subscribe", "--url", server.url, "-t", "t", "--after", "earliest", "-n", "1", "-q")
    text = await run(*base, "--transport", transport)
    assert text.stdout == "AAEC\n"
    shown = await run(*base, "--transport", transport, "-o", "json")
    topics = None if transport == "sse" else ["t"]
    expected = {"id": event_id, "type": "message", "topics": topics, "data": "AAEC", "encoding": "base64"}
    assert msgspec.json.decode(shown.stdout) == expected


async def test_count_ends_the_command_and_the_url_may_come_from_the_environment(server: FakeStreamd) -> None:
    for number in range(600):
        server.publish(str(number))
    arguments = ("subscribe", "-t", "t", "--after", "earliest", "--count", "301")
    done = await run(*arguments, STREAMD_URL=server.url)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [str(number) for number in range(301)]


async def test_the_timeout_ends_the_command(server: FakeStreamd) -> None:
    server.publish("1")
    arguments = ("subscribe", "--url", server.url, "-t", "t", "--after", "earliest", "--timeout", "1.5")
    done = await run(*arguments)
    assert (done.returncode, done.stdout) == (0, "1\n")
    done = await run(*arguments, "--count", "2")
    assert (done.returncode, done.stdout) == (1, "1\n")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("-t", "t", "--after", "yesterday"),
        ("-t", "t", "--url", "nowhere"),
        ("-t", "t", "--transport", "pigeon"),
        ("-t", "t", "--transport", "poll", "--overflow", "latest"),
        ("-t", "t", "--cursor-file", "README.md"),
        ("-t", "t", "--cursor-file", "nowhere/place"),
        ("-t", "t", "--cursor-file", "x" * 300),
        ("-t", "t", "--cursor-file", f"{'x' * 300}/place"),
    ],
)
async def test_wrong_usage_is_status_2(arguments: tuple[str, ...], tmp_path: Path) -> None:
    if "README.md" in arguments:
        (tmp_path / "README.md").write_text("no cursor")
        arguments = (*arguments[:-1], str(tmp_path / "README.md"))
    done = await run("subscribe", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error:" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_rejection_is_status_1_with_the_servers_detail(server: FakeStreamd) -> None:
    problem = {"status": 400, "code": "invalid-field", "detail": "too many topics", "field": "topic"}
    server.script.append(refuse(400, problem=problem))
    done = await run("subscribe", "--url", server.url, "-t", "t")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: too many topics (400 invalid-field, field 'topic')\n"


async def test_the_end_of_the_stream_is_status_0(server: FakeStreamd) -> None:
    server.script.append(refuse(204))
    done = await run("subscribe", "--url", server.url, "-t", "t")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "the stream is over\n")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
async def test_signals_end_the_command_with_their_status(
    server: FakeStreamd, number: signal.Signals, status: int
) -> None:
    async with started("subscribe", "--url", server.url, "-t", "t") as program:
        await connected(program)
        program.signal(number)
        assert await program.ended() == status
        assert await program.rest(2) == ""


async def test_a_restart_and_its_gap_are_reported(server: FakeStreamd) -> None:
    old = server.publish("old")
    async with started("subscribe", "--url", server.url, "-t", "t", "--after", "earliest") as program:
        assert await program.line() == "old"
        await server.stop()
        assert await program.says("reconnecting in")
        server.forget(start_ms=1_800_000_000_000)
        server.drop_all()
        await server.start()
        said = f"gap: events after {old} are no longer kept; going on after {server.head}"
        assert await program.says("gap") == said
        server.publish("new")
        assert await program.line() == "new"


@pytest.mark.parametrize(
    "transport",
    ["sse", pytest.param("websocket", marks=pytest.mark.soak), pytest.param("poll", marks=pytest.mark.soak)],
)
async def test_a_cursor_file_survives_kill_9(server: FakeStreamd, tmp_path: Path, transport: str) -> None:
    place = tmp_path / "place"
    arguments = ("subscribe", "--url", server.url, "-t", "t", "--cursor-file", str(place))
    options = ("--transport", transport)

    async def stored(cursor: str) -> None:
        # The file is written after the output; only the file itself shows that.
        while not place.exists() or place.read_text() != cursor + "\n":  # noqa: ASYNC110
            await trio.sleep(0.01)

    printed: list[str] = []
    async with started(*arguments, *options) as program:
        await connected(program)
        await stored(server.head)  # before any event: the head of the log
        program.process.kill()
        await program.ended()
    for step in range(3):
        for number in range(20):
            server.publish(f"{step}.{number}")
        async with started(*arguments, *options) as program:
            printed += await program.lines(20)
            await stored(server.head)
            program.process.kill()
            await program.ended()
            assert await program.rest() == ""
    moved = server.move_cursor()
    async with started(*arguments, *options) as program:
        await stored(moved)
    assert printed == [f"{step}.{number}" for step in range(3) for number in range(20)]
    assert [path.name for path in tmp_path.iterdir()] == ["place"]  # noqa: ASYNC240 - a local folder


async def test_a_new_cursor_file_begins_at_after(server: FakeStreamd, tmp_path: Path) -> None:
    server.publish("1")
    server.publish("2")
    arguments = ("subscribe", "--url", server.url, "-t", "t", "--after", "earliest", "-n", "1")
    place = ("--cursor-file", str(tmp_path / "place"))
    assert (await run(*arguments, *place)).stdout == "1\n"
    assert (await run(*arguments, *place)).stdout == "2\n"


async def test_sigterm_stores_the_cursor_of_the_last_written_event(
    server: FakeStreamd, tmp_path: Path
) -> None:
    """SIGTERM during the output of a batch: the next run prints exactly the next event."""
    for number in range(3000):
        server.publish(f"{number}")
    place = str(tmp_path / "place")
    arguments = ("subscribe", "--url", server.url, "-t", "t", "--after", "earliest", "--cursor-file", place)
    async with started(*arguments) as program:
        first = await program.lines(1)
        program.signal(signal.SIGTERM)
        first += (await program.rest()).splitlines()
        assert await program.ended() == 0
    done = await run(*arguments, "-n", str(3000 - len(first))) if len(first) < 3000 else None
    second = done.stdout.splitlines() if done else []
    assert first + second == [str(number) for number in range(3000)]


async def test_a_closed_pipe_ends_the_command_quietly(server: FakeStreamd) -> None:
    """As with ``| head -1``; no further event is needed for that."""
    async with started("subscribe", "--url", server.url, "-t", "t") as program:
        await connected(program)
        server.publish("1")
        assert await program.line() == "1"
        assert program.process.stdout is not None
        await program.process.stdout.aclose()
        assert await program.ended() == 0
        assert await program.rest(2) == ""


async def test_a_pipe_to_head_ends_the_command(server: FakeStreamd) -> None:
    for number in range(2000):
        server.publish(f"{number} " + "x" * 100)
    shell = " ".join(command("subscribe", "--url", server.url, "-t", "t", "--after", "earliest"))
    with trio.fail_after(60):
        done = await trio.run_process(
            ["/bin/sh", "-c", f"{shell} | head -1"],
            capture_stdout=True,
            capture_stderr=True,
            env=environment(),
        )
    assert done.stdout.decode().startswith("0 xxx")
    assert done.stderr.decode().startswith("connected to")
    assert done.stderr.count(b"\n") == 1


async def test_ctrl_c_ends_the_command_while_its_output_is_blocked(server: FakeStreamd) -> None:
    for _ in range(2000):
        server.publish("x" * 1000)
    async with started("subscribe", "--url", server.url, "-t", "t", "--after", "earliest") as program:
        await connected(program)
        await program.line()  # no further reads, so the pipe fills up
        program.signal(signal.SIGINT)
        assert await program.ended() == 130


async def test_the_live_line_and_the_events_share_a_terminal(server: FakeStreamd) -> None:
    ours, theirs = pty.openpty()
    shown = ""
    try:
        arguments = ("subscribe", "--url", server.url, "-t", "t")
        async with started_on(*arguments, stdin=theirs, stdout=theirs, stderr=theirs) as program:
            os.close(theirs)

            async def until(text: str) -> None:
                nonlocal shown
                while text not in shown:
                    shown += (await trio.to_thread.run_sync(os.read, ours, 1024)).decode()

            await until("0 events, none yet")
            await until("connected to")
            server.publish("hello \x1b[31mred")
            await until("1 events, the last")
            program.signal(signal.SIGTERM)
            assert await program.ended() == 0
    finally:
        os.close(ours)
    assert r"hello \x1b[31mred" in shown  # an event cannot send escape sequences to the terminal


async def test_control_codes_are_written_to_terminals_only(server: FakeStreamd) -> None:
    server.publish("1")
    arguments = ("subscribe", "--url", server.url, "-t", "t", "--after", "earliest", "-n", "1")
    done = await run(*arguments, FORCE_COLOR="1", TTY_COMPATIBLE="1")
    assert (done.stdout, done.stderr) == ("1\n", f"connected to {server.url}\n")


async def test_help_shows_an_example() -> None:
    done = await run("subscribe", "--help")
    assert done.returncode == 0
    assert "streamd subscribe --topic logs" in done.stdout


@pytest.mark.parametrize("transport", ["sse", "websocket", "poll"])
async def test_a_client_id_is_sent_with_the_secret_of_the_last_connection(
    server: FakeStreamd, transport: str
) -> None:
    options = ("--client-id", "my laptop", "--transport", transport)
    async with started("subscribe", "--url", server.url, "-t", "t", *options) as program:
        await connected(program)
        await server.stop()
        await program.says("reconnecting")
        await server.start()
        server.publish("again")
        assert await program.line() == "again"
    assert server.requests[-1].query["client_id"] == ["my laptop"]
    assert server.requests[-1].headers["resume-secret"] == RESUME_SECRET
