"""The clients: the C program `native/load.c`, controlled over its standard input and output."""

import json
import select
import subprocess
import tempfile
import time
from types import TracebackType
from typing import Any, Self

import attrs

from .load import Load
from .native import build
from .peers.base import Running

_RAMP = 64  # maximum number of connections that are being established
_SPARE_SECONDS = 10.0  # added to the program's own deadline
_END_SECONDS = 15.0  # timeout for the program to exit
_SHOWN_CHARACTERS = 400  # of its messages in an error


@attrs.frozen(kw_only=True)
class Outcome:
    """The counts and delays of all clients; times are of the monotonic clock, which all processes share."""

    deliveries: int
    missing: int
    repeated: int
    disordered: int
    closed: int  # streams the server ended early
    first_ns: int
    last_ns: int
    p50_ns: int  # from an event's time to the read that completed it
    p99_ns: int
    p999_ns: int
    max_ns: int
    cpu_seconds: float  # of the clients' own process


class Clients:
    """A running load program; leaving the block closes its connections.

    Args:
        server: to connect to.
        load: number of clients, and of the events that they wait for.
        path: of the requests; by default the peer's path of subscriptions.
        connect_only: the clients discard events, and :meth:`done` is not called.
        ramp: maximum number of connections that are being established.

    Raises:
        Missing: the program cannot be built.
        RuntimeError: from all methods: the program failed, or did not answer in time.
    """

    def __init__(
        self,
        server: Running,
        load: Load,
        *,
        path: str | None = None,
        connect_only: bool = False,
        ramp: int = _RAMP,
    ) -> None:
        command = [str(build("load")), "--host", server.host, "--port", str(server.port)]
        command += ["--protocol", load.protocol, "--path", path or server.peer.subscribe_path]
        command += ["--clients", str(load.clients), "--streams", str(load.streams), "--ramp", str(ramp)]
        command += ["--events", str(max(load.events, 1)), "--deadline", f"{load.deadline_seconds:.0f}"]
        command += ["--stalled", str(load.stalled), "--header", server.peer.header]
        command += ["--tls"] * server.tls + ["--connect-only"] * connect_only
        self._deadline = time.monotonic() + load.deadline_seconds + _SPARE_SECONDS
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._messages
        )
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process, self._messages:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def connected(self) -> float:
        """Wait until all clients are connected; return the time since the first connect (s)."""
        return float(self._expect("connected")["seconds"])

    def done(self) -> Outcome:
        """Wait until all events have arrived, or the deadline has passed."""
        answer = self._expect("done")
        return Outcome(**{field.name: answer[field.name] for field in attrs.fields(Outcome)})

    def connect_again(self) -> None:
        """Close all connections at once and connect again; :meth:`connected` waits for the end."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"again\n")
        self._process.stdin.flush()

    def _expect(self, event: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._read_line())
        if answer["event"] != event:
            raise RuntimeError(f"the load program printed {answer} instead of {event!r}")
        return answer

    def _read_line(self) -> bytes:
        assert self._process.stdout is not None
        stdout = self._process.stdout.fileno()
        while b"\n" not in self._received:
            ready, _, _ = select.select([stdout], [], [], max(0.0, self._deadline - time.monotonic()))
            if not ready:
                raise RuntimeError("the load program did not answer in time" + self._errors())
            data = self._process.stdout.read1(65_536)  # type: ignore[attr-defined]
            if not data:
                raise RuntimeError(
                    f"the load program ended with status {self._process.wait()}" + self._errors()
                )
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _errors(self) -> str:
        self._messages.seek(0)
        return ": " + (
            self._messages.read().decode(errors="replace").strip()[-_SHOWN_CHARACTERS:] or "no message"
        )
