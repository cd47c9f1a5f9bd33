"""The base class of the measured servers: starting, sampling of CPU and memory, and ending."""

import enum
import os
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import urlsplit

import attrs
import psutil

from ..certificate import Certificate, make_certificate
from ..publisher import TOPIC, Encoding, Publisher

ROOT: Final = Path(__file__).parent.parent.parent
# The output of `python -m bench install` and of the C compiler.
MADE: Final = ROOT / ".bench"
# Applications that servers import by bare name, so that they do not load the benchmark.
APPS: Final = Path(__file__).parent / "apps"
HOST: Final = "127.0.0.1"
# streamd's default. With the 100 of Hypercorn or the 511 of nginx and Node, a storm measures the kernel's
# retransmissions.
BACKLOG: Final = 2_048
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.01
_SHOWN_CHARACTERS: Final = 600  # of a server's output in an error


class Ability(enum.StrEnum):
    """A feature beyond SSE over HTTP/1.1 and one event for each POST, which a scenario may need."""

    ARRAY = "array"  # many events in one POST
    NDJSON = "ndjson"
    HTTP2 = "http2"  # over TLS
    TLS = "tls"
    WEBSOCKET = "websocket"
    REPLAY = "replay"


@attrs.frozen(kw_only=True)
class Setup:
    """The requirements that a server is started with."""

    connections: int  # maximum number of streams
    tls: bool = False
    keep_events: int = 0  # number of events to keep for replay


@attrs.frozen
class Sample:
    """The CPU time and memory of all processes of a server."""

    cpu_seconds: float  # user and system time since their start
    rss_bytes: int


@attrs.frozen(kw_only=True)
class Workspace:
    """The folder, port and certificate of one server."""

    directory: Path  # temporary
    port: int  # 0: the server chooses
    certificate: Certificate | None


class Running:
    """A running server.

    Attributes:
        host, port: its address on the loopback interface.
        tls: the server uses TLS.
    """

    def __init__(self, peer: "Peer", process: subprocess.Popen[bytes], port: int, *, tls: bool) -> None:
        self.peer = peer
        self.host = HOST
        self.port = port
        self.tls = tls
        self._process = psutil.Process(process.pid)

    def sample(self) -> Sample:
        """Measure the CPU time and memory of the server and its child processes."""
        cpu_seconds, rss_bytes = 0.0, 0
        for process in (self._process, *self._process.children(recursive=True)):
            cpu_seconds += _cpu_seconds(process)
            rss_bytes += process.memory_info().rss
        return Sample(cpu_seconds, rss_bytes)

    def publisher(self, deadline_seconds: float, topic: str = TOPIC) -> Publisher:
        """Connect a publisher, which is a context manager."""
        return Publisher(
            self.host,
            self.port,
            self.peer.publish_path,
            self.peer.encoding,
            tls=self.tls,
            timeout_seconds=deadline_seconds,
            topic=topic,
            header=self.peer.header,
        )


class Peer(ABC):
    """A server that can be measured; one object serves any number of runs.

    Attributes:
        name: in the command line and the tables.
        about: description.
        ours: the peer is streamd: the benchmark fails if it loses an event.
        announces: the server chooses its port, and writes ``listening on URL`` to standard output.
        header: a line of every request over HTTP/1.1; empty for none.
    """

    name: str
    about: str
    ours: ClassVar[bool] = False
    announces: ClassVar[bool] = False
    abilities: ClassVar[frozenset[Ability]] = frozenset()
    subscribe_path: ClassVar[str] = "/events"
    replay_path: ClassVar[str] = ""
    publish_path: ClassVar[str] = "/events"
    encoding: ClassVar[Encoding] = Encoding.RAW
    header: str = ""

    @abstractmethod
    def version(self) -> str:
        """Return its version, for the report.

        Raises:
            Missing: it is not installed.
        """

    @abstractmethod
    def command(self, setup: Setup, workspace: Workspace) -> list[str]:
        """Return the command that starts it; files that it needs are written to ``workspace.directory``."""

    def environment(self, setup: Setup, workspace: Workspace) -> Mapping[str, str]:
        """Return the environment variables that it needs."""
        return {}

    @contextmanager
    def start(self, setup: Setup) -> Iterator[Running]:
        """Run the server for the block.

        Raises:
            Missing: it is not installed.
            RuntimeError: it did not start, or the block failed; with the end of the server's output.
        """
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            directory = Path(name)
            workspace = Workspace(
                directory=directory,
                port=0 if self.announces else free_port(),
                certificate=make_certificate(directory) if setup.tls else None,
            )
            command = self.command(setup, workspace)
            environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{APPS}", **self.environment(setup, workspace)}
            output = directory / "output"
            with output.open("wb") as sink:
                process = subprocess.Popen(
                    command, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, env=environment, cwd=ROOT
                )
            try:
                port = _wait_until_it_listens(process, workspace.port, output)
                try:
                    yield Running(self, process, port, tls=setup.tls)
                except (OSError, RuntimeError) as error:
                    raise RuntimeError(f"{error}; output of the server: {_tail(output)}") from error
            finally:
                _end(process)


def _cpu_seconds(process: psutil.Process) -> float:
    """Return user and system time (s), from schedstat if the kernel has it, otherwise in ticks of 10 ms."""
    nanoseconds = 0
    for thread in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
        try:
            nanoseconds += int(thread.read_text().split()[0])
        except FileNotFoundError:
            pass  # the thread has ended meanwhile
    times = process.cpu_times()
    return nanoseconds / 1e9 or float(times.user + times.system)


def free_port() -> int:
    """Return a TCP port that is free now."""
    with socket.create_server((HOST, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, output: Path) -> int:
    """Wait until connections are accepted, and return the port; 0: read it from the server's output."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with status {process.returncode}: {_tail(output)}")
        if port == 0:
            for line in output.read_text().splitlines():
                if "listening on http" in line:
                    return urlsplit(line.split()[-1]).port or 80
        else:
            with socket.socket() as probe:
                if probe.connect_ex((HOST, port)) == 0:
                    return port
        time.sleep(_POLL_SECONDS)
    raise RuntimeError(f"the server did not listen within {START_SECONDS:.0f} s: {_tail(output)}")


def _tail(output: Path) -> str:
    return output.read_text(errors="replace").strip()[-_SHOWN_CHARACTERS:] or "no output"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server with SIGTERM, then SIGKILL it and its remaining child processes."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    process.send_signal(signal.SIGTERM)  # does nothing if it has ended
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:  # psutil compares start times, so that a reused pid is not killed
        if child.is_running():
            child.kill()
