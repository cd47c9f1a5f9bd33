"""The loop of drivers in Python: connect, read, and connect again after the last event id.

A driver is run as ``python -m tests.third_party.drivers.NAME URL``. It prints a JSON array
``[type, data, id]`` for each event, ``["open", "", ""]`` for each stream that begins,
``["rejected", status, ""]`` for each other answer, and ``["end", reason, ""]`` at its end.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

import click

_PAUSE_SECONDS: Final = 0.25  # without `retry:` and Retry-After


class Follower:
    """The position of a client, and the time until it connects again.

    Attributes:
        url: of the stream, which resumes after the cursor in its query.
        last_event_id: of the last event that was received; empty before the first one.
        pause_seconds: time until the next attempt.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.last_event_id = ""
        self.pause_seconds = _PAUSE_SECONDS

    @property
    def headers(self) -> dict[str, str]:
        """The request header with which the stream resumes; empty at first."""
        return {"Last-Event-ID": self.last_event_id} if self.last_event_id else {}

    def begin(self, status: int, headers: Mapping[str, str]) -> bool:
        """Record a response's head; return True if its body is a stream. 204 ends the program."""
        if status == 204:
            self.end("the server answered 204")
        if status != 200:
            fields = {name.lower(): value for name, value in headers.items()}
            self.pause_seconds = float(fields.get("retry-after", _PAUSE_SECONDS))
            record("rejected", str(status), "")
            return False
        record("open", "", "")
        return True

    def receive(self, type: str, data: str, id: str | None, retry_ms: int | None = None) -> None:
        """Record an event. One without data only moves the position, and sets the reconnection time."""
        self.last_event_id = id or self.last_event_id
        if retry_ms is not None:
            self.pause_seconds = retry_ms / 1000
        if data:
            record(type or "message", data, id or "")

    def end(self, reason: str) -> None:
        """Record the end, and exit."""
        record("end", reason, "")
        sys.exit()


def record(*event: str) -> None:
    """Print one event."""
    click.echo(json.dumps(event))


def follow(read: Callable[[Follower], None], *lost: type[Exception]) -> None:
    """Connect and read for ever.

    Args:
        read: connects once, and reads to the end of the connection.
        lost: exceptions of the library for a connection that failed or was lost.
    """
    follower = Follower(sys.argv[1])
    while True:
        try:
            read(follower)
        except lost:
            pass
        time.sleep(follower.pause_seconds)  # as the server asks
