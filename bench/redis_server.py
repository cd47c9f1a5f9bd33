"""A Redis server for one measurement."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from .missing import Missing

_START_SECONDS: Final = 10.0


@contextmanager
def redis_server(port: int = 0, *options: str) -> Iterator[tuple[Path, psutil.Process]]:
    """Run a server on a Unix socket during the block, without persistence.

    Args:
        port: TCP port on loopback as well; 0 for none.
        options: further options of its command line.

    Yields:
        The path of its socket, and its process.

    Raises:
        Missing: it is not installed.
        RuntimeError: it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        socket = Path(folder) / "redis.sock"
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--unixsocket", str(socket)]
        try:
            process = subprocess.Popen(
                [*command, "--dir", folder, "--save", "", *options], stdout=subprocess.DEVNULL
            )
        except FileNotFoundError as error:
            raise Missing("redis-server is not installed: install the Debian package redis-server") from error
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not socket.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("redis-server does not start")
                time.sleep(0.01)
            yield socket, psutil.Process(process.pid)
        finally:
            process.kill()
            process.wait()
