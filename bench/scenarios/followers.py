"""What the clients of a service's streams saw: the program `reader.py`, and the counting of what it read."""

import json
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import attrs
import msgspec

from ..clients import Outcome
from ..peers import Running

_PROGRAM: Final = Path(__file__).with_name("reader.py")
_SPARE_SECONDS: Final = 10.0  # how much later than its own deadline the program is given up
_END_SECONDS: Final = 15.0
_CLOCKS_APART_NS: Final = 1_000_000  # the wall clock may be set by so much in one run


@attrs.frozen
class Delivery:
    """An event that a client read."""

    read_ns: int  # just after the read that completed it, monotonic clock
    id: str  # empty for control frames
    type: str
    data: Any


@attrs.frozen(kw_only=True)
class Seen:
    """All that came to the clients."""

    clients: Sequence[Sequence[Delivery]]
    closed: int  # streams that the server ended
    cpu_seconds: float  # of the reader while it read
    wall_offset_ns: int  # from the monotonic clock to nanoseconds since 1970

    def after_publishing_ms(self, delivery: Delivery) -> float:
        """From the time in an event's id, which is whole milliseconds since 1970, to its read."""
        published_ms = int(delivery.id.partition("-")[0])
        return (delivery.read_ns + self.wall_offset_ns) / 1e6 - published_ms


class Followers:
    """Clients that each follow one stream; leaving the block closes their connections.

    Args:
        server: whom to connect to.
        paths: what they ask for, one for each.
        deadline_seconds: when what has come by then is all.
        last: text that is only in a client's last event; or tell it later, with :meth:`until`.

    Raises:
        RuntimeError: from every method, when the program failed or took too long.
    """

    def __init__(
        self, server: Running, paths: Sequence[str], deadline_seconds: float, *, last: str | None = None
    ) -> None:
        self._deadline = time.monotonic() + deadline_seconds + _SPARE_SECONDS
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self._file = Path(self._folder.name) / "read"
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
        )
        self._received = b""
        self._tell(
            host=server.host,
            port=server.port,
            paths=list(paths),
            file=str(self._file),
            deadline_seconds=deadline_seconds,
            last=last,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process, self._messages, self._folder:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def connected(self) -> float:
        """Wait until all have their answer's head; the seconds that took."""
        return float(self._expect("connected")["seconds"])

    def until(self, last: str) -> None:
        """Say what text is only in the last event that each of them gets."""
        self._tell(last=last)

    def done(self) -> Seen:
        """Wait until all have had their last event, or the deadline has passed."""
        said = self._expect("done")
        before, after = said["wall_offsets_ns"]
        if abs(after - before) > _CLOCKS_APART_NS:
            raise RuntimeError("the wall clock was set while the clients read")
        clients = msgspec.msgpack.decode(self._file.read_bytes(), type=list[list[tuple[int, str]]])
        return Seen(
            clients=[[read_event(*event) for event in events] for events in clients],
            closed=said["closed"],
            cpu_seconds=said["cpu_seconds"],
            wall_offset_ns=(before + after) // 2,
        )

    def _tell(self, **fields: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(fields).encode() + b"\n")
        self._process.stdin.flush()

    def _expect(self, event: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        while b"\n" not in self._received:
            ready, _, _ = select.select([self._process.stdout], [], [], self._deadline - time.monotonic())
            data = self._process.stdout.read1(65_536) if ready else b""  # type: ignore[attr-defined]
            if not data:
                raise RuntimeError(f"the reading clients did not say {event!r}: {self._said()}")
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        if said["event"] != event:
            raise RuntimeError(f"the reading clients said {said}, not {event!r}")
        return said

    def _said(self) -> str:
        self._messages.seek(0)
        return self._messages.read().decode(errors="replace").strip()[-400:] or "no message"


def read_event(read_ns: int, text: str) -> Delivery:
    """An event of a stream, from its lines; data that is no JSON stays text."""
    fields: dict[str, str] = {}
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        fields[name] = fields[name] + "\n" + value if name in fields else value
    data: Any = fields.get("data", "")
    try:
        data = msgspec.json.decode(data)
    except msgspec.DecodeError:
        pass
    return Delivery(read_ns, fields.get("id", ""), fields.get("event", "message"), data)


def count(
    seen: Sequence[Sequence[Delivery]],
    expected: Sequence[Sequence[Any]],
    key: Callable[[Delivery], Any],
    delay_ms: Callable[[Delivery], float],
    cpu_seconds: float = 0.0,
) -> Outcome:
    """What of the expected came to each client, and after which time.

    Args:
        seen: what each client read.
        expected: the keys of the events each of them was to get, in their order.
        key: of an event; None for one that is not counted.
        delay_ms: of an event; the first delivery counts.
        cpu_seconds: of the clients.

    Returns:
        With ``closed`` 0: a stream that ends too early has its events missing.

    Raises:
        RuntimeError: nothing came.
    """
    delays_ns: list[int] = []
    times_ns: list[int] = []
    missing = repeated = disordered = 0
    for events, keys in zip(seen, expected, strict=True):
        places = {each: place for place, each in enumerate(keys)}
        got: set[Any] = set()
        last = -1
        for event in events:
            if (found := key(event)) is None:
                continue
            if found not in places:
                disordered += 1  # it was never published, and has no place
                continue
            place = places[found]
            disordered += place < last or place > last + 1
            last = place
            repeated += found in got
            if found not in got:
                delays_ns.append(round(delay_ms(event) * 1e6))
                times_ns.append(event.read_ns)
            got.add(found)
        missing += len(places.keys() - got)
    if not delays_ns:
        raise RuntimeError("no event arrived")
    delays_ns.sort()
    number = len(delays_ns)
    return Outcome(
        deliveries=number,
        missing=missing,
        repeated=repeated,
        disordered=disordered,
        closed=0,
        first_ns=min(times_ns),
        last_ns=max(times_ns),
        p50_ns=delays_ns[number // 2],
        p99_ns=delays_ns[number * 99 // 100],
        p999_ns=delays_ns[number * 999 // 1000],
        max_ns=delays_ns[-1],
        cpu_seconds=cpu_seconds,
    )


def quantiles(name: str, values_ms: Iterable[float]) -> Mapping[str, float]:
    """Median and 99th percentile, as figures; they are in the JSON report alone."""
    ordered = sorted(values_ms)
    return {
        f"{name}_p50_ms": ordered[len(ordered) // 2],
        f"{name}_p99_ms": ordered[len(ordered) * 99 // 100],
    }
