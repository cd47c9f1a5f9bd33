"""What every measured server has in common: how it is started, asked what it used, and ended."""

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
from ..publisher import Encoding, Publisher

ROOT: Final = Path(__file__).parent.parent.parent
# What `python -m bench install` and the C compiler make.
MADE: Final = ROOT / ".bench"
# Applications that servers import by their bare names, so that they load nothing of the benchmark.
APPS: Final = Path(__file__).parent / "apps"
HOST: Final = "127.0.0.1"
# Connections not yet accepted; streamd's default. With the 100 of Hypercorn or the 511 of nginx and Node,
# a storm measures how the kernel tries again.
BACKLOG: Final = 2_048
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.01
_SHOWN_CHARACTERS: Final = 600  # of a server's output in an error


class Ability(enum.StrEnum):
    """What a scenario may need beyond SSE over HTTP/1.1 and one event a POST."""

    ARRAY = "array"  # many events in one POST
    NDJSON = "ndjson"
    HTTP2 = "http2"  # over TLS
    TLS = "tls"
    WEBSOCKET = "websocket"
    REPLAY = "replay"


@attrs.frozen(kw_only=True)
class Setup:
    """What a server is started for."""

    connections: int  # streams it must be able to hold
    tls: bool = False
    keep_events: int = 0  # events it must keep for replay


@attrs.frozen
class Sample:
    """What a server's processes have used together."""

    cpu_seconds: float  # user and system time since their start
    rss_bytes: int


@attrs.frozen(kw_only=True)
class Place:
    """Where a server that is being started finds its things."""

    directory: Path  # temporary
    port: int  # 0: of its own choice
    certificate: Certificate | None


class Running:
    """A server that listens.

    Attributes:
        host, port: where, on the loopback interface.
        tls: whether it speaks TLS there.
    """

    def __init__(self, peer: "Peer", process: subprocess.Popen[bytes], port: int, *, tls: bool) -> None:
        self.peer = peer
        self.host = HOST
        self.port = port
        self.tls = tls
        self._process = psutil.Process(process.pid)

    def sample(self) -> Sample:
        """What it and the processes it started have used."""
        cpu_seconds, rss_bytes = 0.0, 0
        for process in (self._process, *self._process.children(recursive=True)):
            cpu_seconds += _cpu_seconds(process)
            rss_bytes += process.memory_info().rss
        return Sample(cpu_seconds, rss_bytes)

    def publisher(self, deadline_seconds: float) -> Publisher:
        """A publisher with one kept-alive connection; close it, or use it in a with block."""
        return Publisher(
            self.host,
            self.port,
            self.peer.publish_path,
            self.peer.encoding,
            tls=self.tls,
            timeout_seconds=deadline_seconds,
        )


class Peer(ABC):
    """A server that can be measured; one object serves any number of runs.

    Attributes:
        name: what the command line and the tables call it.
        ours: whether it is streamd: if it loses something, the benchmark fails.
        announces: whether it chooses its port, and writes ``listening on URL`` to standard output.
    """

    name: str
    about: ClassVar[str]
    ours: ClassVar[bool] = False
    announces: ClassVar[bool] = False
    abilities: ClassVar[frozenset[Ability]] = frozenset()
    subscribe_path: ClassVar[str] = "/events"
    replay_path: ClassVar[str] = ""
    publish_path: ClassVar[str] = "/events"
    encoding: ClassVar[Encoding] = Encoding.RAW

    @abstractmethod
    def version(self) -> str:
        """Its version, for the report.

        Raises:
            Missing: it is not installed.
        """

    @abstractmethod
    def command(self, setup: Setup, place: Place) -> list[str]:
        """How it is started; writes what files it needs into ``place.directory``."""

    def environment(self, setup: Setup, place: Place) -> Mapping[str, str]:
        """Environment variables it needs."""
        return {}

    @contextmanager
    def start(self, setup: Setup) -> Iterator[Running]:
        """Run it for as long as the block lasts.

        Raises:
            Missing: it is not installed.
            RuntimeError: it did not start, or the block failed; with the end of what the server wrote.
        """
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            directory = Path(name)
            place = Place(
                directory=directory,
                port=0 if self.announces else _free_port(),
                certificate=make_certificate(directory) if setup.tls else None,
            )
            command = self.command(setup, place)
            environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{APPS}", **self.environment(setup, place)}
            output = directory / "output"
            with output.open("wb") as sink:
                process = subprocess.Popen(
                    command, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, env=environment, cwd=ROOT
                )
            try:
                port = _wait_until_it_listens(process, place.port, output)
                try:
                    yield Running(self, process, port, tls=setup.tls)
                except (OSError, RuntimeError) as error:
                    raise RuntimeError(f"{error}; the server wrote: {_tail(output)}") from error
            finally:
                _end(process)


def _cpu_seconds(process: psutil.Process) -> float:
    """User and system time, in nanoseconds where the kernel counts them and not in ticks of 10 ms."""
    nanoseconds = 0
    for thread in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
        try:
            nanoseconds += int(thread.read_text().split()[0])
        except FileNotFoundError:
            pass  # the thread has just ended
    times = process.cpu_times()
    return nanoseconds / 1e9 or float(times.user + times.system)


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, output: Path) -> int:
    """The port, once connections are accepted there; 0 reads it from the announcement."""
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
    return output.read_text(errors="replace").strip()[-_SHOWN_CHARACTERS:] or "it wrote nothing"


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL to what is left of it and of the processes it started."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    process.send_signal(signal.SIGTERM)  # does nothing when it has ended
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:  # knows by the start time whether the pid is still the same process
        if child.is_running():
            child.kill()
