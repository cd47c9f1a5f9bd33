"""The command ``curl``, whose output is read line by line."""

import subprocess
from collections.abc import Iterator
from typing import IO

from tests.third_party.drivers.following import Follower, follow


def read(follower: Follower) -> None:
    """Read one response: its head (``--include``), then the blocks of the stream."""
    options = [part for name, value in follower.headers.items() for part in ("--header", f"{name}: {value}")]
    command = ["curl", "--silent", "--no-buffer", "--include", *options, follower.url]
    # A connection may be cut within a character, which is in an incomplete block then.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, encoding="utf-8", errors="replace"
    ) as curl:
        assert curl.stdout is not None
        status_line = curl.stdout.readline()
        if not status_line:  # no connection
            return
        head = next(read_blocks(curl.stdout), {})
        if follower.begin(int(status_line.split()[1]), head):
            for fields in read_blocks(curl.stdout):
                retry_ms = int(fields["retry"]) if "retry" in fields else None
                follower.receive(fields.get("event", ""), fields.get("data", ""), fields.get("id"), retry_ms)


def read_blocks(lines: IO[str]) -> Iterator[dict[str, str]]:
    """Yield the fields before each empty line."""
    fields = {}
    for line in lines:
        text = line.rstrip("\r\n")
        if text:
            name, _, value = text.partition(": ")
            fields[name] = value
        else:
            yield fields
            fields = {}


if __name__ == "__main__":
    follow(read)
