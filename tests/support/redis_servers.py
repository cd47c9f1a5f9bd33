"""Redis servers of the tests' own, on sockets and ports that nobody else uses."""

import atexit
import itertools
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Final

from streamd.redis.address import RedisAddress

HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 20.0
_numbers = itertools.count()


class RedisServer:
    """A server with a folder of its own.

    Args:
        folder: for its files and its socket.
        port: TCP port on loopback; 0 for its Unix socket only.
        options: further options of its command line, such as ``--appendonly yes``.
    """

    def __init__(self, folder: Path, port: int = 0, *options: str) -> None:
        self.folder: Final = folder
        self.port: Final = port
        self.socket: Final = folder / "redis.sock"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> RedisAddress:
        """The address of its port, or else of its socket."""
        return RedisAddress(hosts=[(HOST, self.port)]) if self.port else RedisAddress(path=str(self.socket))

    @property
    def url(self) -> str:
        """The URL of its port, or else of its socket."""
        return f"redis://{HOST}:{self.port}/0" if self.port else f"redis+unix://{self.socket}"

    def start(self, *more: str) -> None:
        """Start the server, with further options for this time, and wait until it answers."""
        self.socket.unlink(missing_ok=True)
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["redis-server", "--bind", HOST, "--port", str(self.port), "--unixsocket", str(self.socket),
                 "--dir", str(self.folder), "--save", "", *self._options, *more],
                stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "redis.log").read_text()
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1)
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(64) == b"+PONG\r\n"
        except OSError:
            return False

    def command(self, *arguments: str) -> str:
        """Run a command by redis-cli, and return what it prints."""
        command = ["redis-cli", "-s", str(self.socket), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def terminate(self) -> None:
        """End the server as an operator does, and wait for its end."""
        self.signal(signal.SIGTERM)
        self._end()

    def kill(self) -> None:
        """End the server at once, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._end()

    def written_bytes(self) -> int:
        """Return the size of the file that the server appends its writes to (``--appendonly yes``)."""
        return self._append_only_file().stat().st_size

    def lose_after(self, size: int) -> None:
        """Cut off what a server that is not running wrote after the file had a size, as a power failure."""
        with self._append_only_file().open("r+b") as file:
            file.truncate(size)

    def _append_only_file(self) -> Path:
        return max(
            self.folder.glob("appendonlydir/*.incr.aof"), key=lambda path: int(path.name.split(".")[2])
        )

    def _end(self) -> None:
        assert self._process is not None
        self._process.wait(_STOP_SECONDS)
        self._process = None


@cache
def shared_server() -> RedisServer:
    """Start a server for all tests that need no own one; it ends with the tests."""
    folder = Path(tempfile.mkdtemp(prefix="redis-"))
    server = RedisServer(folder)
    server.start()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.kill)
    return server


def new_prefix() -> str:
    """Return a prefix of keys that no other test uses."""
    return f"{{test-{next(_numbers)}}}"


def free_port() -> int:
    """Return a TCP port that is free now."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])
