"""The server that is measured, in a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import attrs
import psutil

START_SECONDS = 30.0


@attrs.frozen
class Sample:
    """What a process has used."""

    cpu_seconds: float  # user and system time since its start
    rss_bytes: int


class Server:
    """A running streamd.

    Attributes:
        host, port: where it listens, on the loopback interface.
    """

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or "127.0.0.1"
        self.port = parts.port or 80
        self._process = psutil.Process(process.pid)

    def sample(self) -> Sample:
        times = self._process.cpu_times()
        return Sample(times.user + times.system, self._process.memory_info().rss)


@contextmanager
def run_server(max_connections: int) -> Iterator[Server]:
    """Start streamd on a free port, and end it with SIGTERM.

    Raises:
        RuntimeError: it did not say where it listens.
    """
    environment = {**os.environ, "STREAMD_CONNECTIONS__MAX_CONNECTIONS": str(max_connections)}
    command = [sys.executable, "-m", "streamd", "serve", "--bind", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if "listening on" not in line:
            raise RuntimeError(f"streamd did not start: {line!r}; try {' '.join(command)}")
        yield Server(process, line.split()[-1])
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
