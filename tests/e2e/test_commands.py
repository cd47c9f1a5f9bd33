"""The commands in combination: a log file, a publisher, and subscribers that are killed and restarted."""

import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from tests.support.program import Program, started, started_on
from tests.support.server_process import ServerProcess, server_process

SECONDS = 60  # a test that hangs fails


@asynccontextmanager
async def tail_published(server: ServerProcess, path: Path) -> AsyncIterator[Program]:
    """Run ``tail -f PATH | streamd publish --topic logs``, from the beginning of the file."""
    read_end, write_end = os.pipe()
    try:
        tail = await trio.lowlevel.open_process(["tail", "-n", "+1", "-f", str(path)], stdout=write_end)
        os.close(write_end)
        async with started_on(
            "publish", "--url", server.url, "--topic", "logs", stdin=read_end, stdout=subprocess.DEVNULL
        ) as publisher:
            yield publisher
    finally:
        os.close(read_end)
        tail.terminate()
        with trio.CancelScope(shield=True):
            await tail.wait()


def write(path: Path, numbers: range) -> list[str]:
    lines = [f"line {number}" for number in numbers]
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)
    return lines


async def until_at(path: Path, event_id: str) -> None:
    """Wait until a subscriber has written its cursor to the file."""
    file = trio.Path(path)
    while not await file.exists() or (await file.read_text()).strip() != event_id:
        pass


async def test_a_log_file_reaches_all_subscribers_and_a_killed_one_resumes(tmp_path: Path) -> None:
    log, cursor = tmp_path / "some.log", tmp_path / "cursor"
    before = write(log, range(200))
    with trio.fail_after(SECONDS):
        async with server_process() as server:
            base = ("subscribe", "--url", server.url, "--topic", "logs", "--after", "earliest")
            verbose = (*base, "--cursor-file", str(cursor), "-v")  # ID TYPE DATA
            async with (
                started(*base) as first,
                started(*base, "--transport", "websocket") as second,
                tail_published(server, log),
            ):
                async with started(*verbose) as killed:
                    assert await first.lines(200) == await second.lines(200) == before
                    got = [line.split(" ", 2) for line in await killed.lines(200)]
                    assert [data for _, _, data in got] == before
                    await until_at(cursor, got[-1][0])
                    killed.signal(signal.SIGKILL)
                    assert await killed.ended() == -signal.SIGKILL

                missed = write(log, range(200, 300))
                assert await first.lines(100) == await second.lines(100) == missed
                async with started(*verbose) as back:
                    assert [(await back.line()).split(" ", 2)[2] for _ in missed] == missed
                    live = write(log, range(300, 310))
                    assert [(await back.line()).split(" ", 2)[2] for _ in live] == live
                assert await first.lines(10) == await second.lines(10) == live
