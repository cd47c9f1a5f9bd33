"""`streamd serve` on a fixed port, which can be killed and started again with its log."""

import http.client
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Final, Self

from ..peers.base import HOST, ROOT, free_port

RETRY_MS: Final = 500
"""Reconnection time that streamd sends, which all clients take over: cells need not take minutes."""

HEARTBEAT_SECONDS: Final = 1.0
_ANSWER_SECONDS: Final = 30.0
_START_SECONDS: Final = 30.0
_FILLER_CHARACTERS: Final = 84  # makes an event of 100 bytes


def event_data(number: int) -> dict[str, object]:
    """Return the data of an event, about 100 bytes of JSON."""
    return {"n": number, "pad": "x" * _FILLER_CHARACTERS}


class Server:
    """A server with its log in a SQLite file of a temporary folder, for the block of a ``with`` statement.

    Args:
        settings: further settings, by environment variable.
        token: of its publisher; empty for a server without keys.
    """

    def __init__(self, settings: Mapping[str, str] | None = None, token: str = "") -> None:
        self.port = free_port()
        self._settings = settings or {}
        self._token = token
        self._process: subprocess.Popen[str] | None = None
        self._files = ExitStack()
        self._folder = Path()

    def __enter__(self) -> Self:
        self._folder = Path(self._files.enter_context(TemporaryDirectory(prefix="bench-")))
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._files.close()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        output = self._folder / "output"
        with output.open("a") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "streamd", "serve", "--bind", f"{HOST}:{self.port}"],
                env={**os.environ, "PYTHONPATH": str(ROOT), **self._environment()},
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
            )
        assert self._process.stdout is not None
        if "listening on" not in self._process.stdout.readline():
            raise RuntimeError(f"the server did not start: {output.read_text()[-600:]}")

    def kill(self) -> None:
        """End it at once, as a crash does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def publish(self, topic: str, numbers: Iterable[int], type: str = "") -> None:
        """Publish numbered events in one request; without a type, as `message`."""
        kind = {"type": type} if type else {}
        events = [{"topic": topic, "data": event_data(number), **kind} for number in numbers]
        request = urllib.request.Request(
            f"http://{HOST}:{self.port}/events", json.dumps(events).encode(), self._headers()
        )
        with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS):  # noqa: S310 - of http
            pass

    @contextmanager
    def publisher(self, topic: str) -> Iterator[Callable[[int], None]]:
        """Make a function that publishes one event, all on one connection."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=_ANSWER_SECONDS)

        def publish(number: int) -> None:
            event = {"topic": topic, "data": event_data(number)}
            connection.request("POST", "/events", json.dumps(event), self._headers())
            response = connection.getresponse()
            response.read()
            if response.status != 201:
                raise RuntimeError(f"streamd answered {response.status} to an event")

        try:
            yield publish
        finally:
            connection.close()

    def _headers(self) -> dict[str, str]:
        bearer = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return {"Content-Type": "application/json", **bearer}

    def _environment(self) -> dict[str, str]:
        url = f"sqlite:{self._folder / 'streamd.db'}"
        return {
            "STREAMD_LOG__URL": url,
            "STREAMD_STORE__URL": url,
            "STREAMD_CONNECTIONS__HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
            "STREAMD_TUNING__CONNECTIONS__RETRY_MS": str(RETRY_MS),
            **self._settings,
        }
