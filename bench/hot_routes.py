"""CPU time of the hot routes inside the application: no socket, no server, no parser of HTTP.

::

    python -m bench.hot_routes [--requests 20000] [--route publish]... [--log info] [--profile]

The ASGI application of ``create_app()`` is called in this process, under trio, with messages that are ready.
A figure is the CPU time of one request (µs), the median of five rounds; that of the same loop without the
application is subtracted. ``handle`` is ``publish`` with a hub that publishes nothing: guard,
limits, decoding, answer, metrics and log line.
"""

import argparse
import cProfile
import gc
import io
import pstats
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

from streamd.app import create_app, running
from streamd.events import EventId
from streamd.log.port import Receipt
from streamd.logs import LoggingSettings, configure_logging
from streamd.transports.asgi import CONNECTION_EXTENSION

_EVENT: Final = b'{"topic":"orders/7","type":"moved","data":{"step":3,"of":9}}'
_WARM_UP: Final = 500
_ROUNDS: Final = 5
_DISCONNECT: Final[Any] = {"type": "http.disconnect"}
_HEADERS: Final = [
    (b"host", b"127.0.0.1:8080"),
    (b"user-agent", b"bench"),
    (b"accept", b"*/*"),
]


class Call:
    """One request: its scope, its messages, which are ready, and its transport, which stays open."""

    __slots__ = ("_body", "_is_read", "scope", "status")

    def __init__(self, method: str, path: str, query: bytes, body: bytes, headers: list[Any]) -> None:
        self.scope: Any = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "root_path": "",
            "headers": [*_HEADERS, *headers],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8080),
            "extensions": {CONNECTION_EXTENSION: self},
        }
        self._body = body
        self._is_read = False
        self.status = 0

    async def receive(self) -> Any:
        """Return the body; then wait, as a client does that stays."""
        if self._is_read:
            await trio.sleep_forever()
        self._is_read = True
        return {"type": "http.request", "body": self._body, "more_body": False}

    def take_body(self) -> bytes:
        """Return the body: all of it has arrived."""
        self._is_read = True
        return self._body

    def watch(self, on_disconnect: Callable[[], None]) -> None:
        """Watch for a disconnect, which does not come."""

    def abort(self) -> None:
        """Close nothing."""

    async def send(self, message: Any) -> None:
        """Note the status."""
        if message["type"] == "http.response.start":
            self.status = message["status"]


def publish() -> Call:
    """Build ``POST /events`` with one small event."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_EVENT))]
    return Call("POST", "/events", b"", _EVENT, headers)


def task() -> Call:
    """Build ``GET /tasks/{id}`` of a task without input."""
    return Call("GET", "/tasks/bench-task", b"", b"", [])


def live() -> Call:
    """Build ``GET /health/live``."""
    return Call("GET", "/health/live", b"", b"", [])


def poll() -> Call:
    """Build ``GET /events/poll`` that waits for nothing."""
    return Call("GET", "/events/poll", b"topic=quiet&wait=0", b"", [])


def connect() -> Call:
    """Build ``HEAD /events``: admission, subscription and head of a stream, which ends at once."""
    return Call("HEAD", "/events", b"topic=orders/7", b"", [])


ROUTES: Final = {
    "publish": publish,
    "connect": connect,
    "poll": poll,
    "task": task,
    "live": live,
    "handle": publish,
}


async def _publish_nothing(drafts: Any, **_: Any) -> list[Receipt]:
    return [Receipt(EventId("0000000000001-000000")) for _ in drafts]


async def _serve(app: Any, call: Call) -> None:
    await app(call.scope, call.receive, call.send)


async def _serve_nothing(_app: Any, call: Call) -> None:
    await call.receive()
    await call.send({"type": "http.response.start", "status": 200, "headers": []})
    await call.send({"type": "http.response.body", "body": b""})


async def _time(
    serve: Callable[[Any, Call], Awaitable[None]], app: Any, make: Callable[[], Call], requests: int
) -> float:
    """Return the CPU time of one request (µs), the median of the rounds."""
    rounds = []
    for _ in range(_ROUNDS):
        gc.collect()
        began = time.process_time()
        for _ in range(requests // _ROUNDS):
            await serve(app, make())
        rounds.append((time.process_time() - began) / (requests // _ROUNDS) * 1e6)
    return statistics.median(rounds)


async def measure(names: list[str], requests: int, profile: bool) -> None:
    """Print the figures of some routes."""
    app = create_app()
    async with running(app, with_demo=False) as streamd:
        await streamd.tasks.create("bench", id="bench-task")
        gc.freeze()  # as streamd's server does
        for name in names:
            make = ROUTES[name]
            if name == "handle":
                streamd.hub.publish_drafts = _publish_nothing  # type: ignore[method-assign]
            first = make()
            await _serve(app, first)
            assert first.status in (200, 201), (name, first.status)
            await _time(_serve, app, make, _WARM_UP)
            idle = await _time(_serve_nothing, app, make, requests)
            if profile:
                await _print_profile(app, make, requests)
                continue
            took = await _time(_serve, app, make, requests) - idle
            print(f"{name:8} {took:8.1f} µs", flush=True)


async def _print_profile(app: Any, make: Callable[[], Call], requests: int) -> None:
    profiler = cProfile.Profile()
    profiler.enable()
    await _time(_serve, app, make, requests)
    profiler.disable()
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).sort_stats("tottime").print_stats(45)
    print(text.getvalue())


def main() -> None:
    """Parse the command line, and measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.hot_routes")
    parser.add_argument("--requests", type=int, default=20_000, help="requests of each route")
    parser.add_argument("--route", action="append", choices=sorted(ROUTES), help="only these")
    parser.add_argument("--log", default="warning", help="level of the log; info writes request lines")
    parser.add_argument("--profile", action="store_true", help="print a profile in place of the figures")
    arguments = parser.parse_args()
    configure_logging(LoggingSettings(level=arguments.log))
    trio.run(measure, arguments.route or list(ROUTES), arguments.requests, arguments.profile)


if __name__ == "__main__":
    main()
