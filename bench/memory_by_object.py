"""Measure the memory of an open event stream, by type of object and by line of code.

``python -m bench.memory_by_object`` opens streams (``GET /events``, or a view of Quart with ``--view``) to
servers of its own, and prints bytes and objects of one stream: RSS; the objects by type, with the untracked
ones that they refer to; and the bytes by the line that allocated them (``tracemalloc``). Each has a server of
its own, because one way to measure would change what another sees. To measure another checkout, run this file
with the environment variable ``PYTHONPATH`` set to it.
"""

import gc
import json
import os
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import trio

from streamd import EventStream
from streamd.app import create_app, running, serve_app
from streamd.logs import configure_logging
from streamd.server import raise_open_files, tune_collector
from streamd.settings import load_settings

WARM_UP: Final = 200  # streams that are open before, so that caches and pools have their size
_PATHS: Final = {"events": b"/events?topic=bench", "view": b"/view"}
_SHOWN_BYTES: Final = 24  # a stream; smaller amounts are left out
Amounts = dict[str, tuple[float, float]]
"""Bytes and numbers of objects, by name."""


# --- the server ---------------------------------------------------------------------------------------


def measure_rss() -> Amounts:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"RSS": (float(pages * os.sysconf("SC_PAGE_SIZE")), 1.0)}


def measure_types() -> Amounts:
    """Return the objects of the collector, and those it does not track but that they refer to, by type."""
    gc.collect()
    pending: list[Any] = gc.get_objects()
    seen = {id(item) for item in pending}
    seen.add(id(pending))
    index = 0
    while index < len(pending):
        for item in gc.get_referents(pending[index]):
            if not gc.is_tracked(item) and id(item) not in seen:
                seen.add(id(item))
                pending.append(item)
        index += 1
    amounts: Amounts = {}
    for item in pending:
        kind = type(item)
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        before = amounts.get(name, (0.0, 0.0))
        amounts[name] = before[0] + sys.getsizeof(item), before[1] + 1
    return amounts


def measure_lines() -> Amounts:
    """Return the traced blocks by the line that allocated them."""
    gc.collect()
    found = tracemalloc.take_snapshot().statistics("lineno")
    root = f"{Path(sys.prefix)}/lib/"
    return {
        f"{each.traceback[0].filename.removeprefix(root)}:{each.traceback[0].lineno}": (
            float(each.size),
            float(each.count),
        )
        for each in found
    }


MEASURES: Final[dict[str, Callable[[], Amounts]]] = {
    "rss": measure_rss,
    "types": measure_types,
    "lines": measure_lines,
}


async def serve(measure: Callable[[], Amounts], connections: int) -> None:
    """Serve until the standard input ends; answer each of its lines with a measurement."""
    overrides = {
        "connections.max_connections": connections,
        "store.url": "memory:",
        "log.url": "memory:",
        "server.bind": ["127.0.0.1:0"],
        "logging.level": "warning",
    }
    settings = load_settings(None, {}, overrides)
    configure_logging(settings.logging, {})
    app = create_app(settings)

    @app.get("/view")
    async def view() -> EventStream:
        return EventStream("bench")

    async with running(app), trio.open_nursery() as nursery:
        addresses = await nursery.start(partial(serve_app, app, settings))
        tune_collector(settings.server)
        print(addresses[0], flush=True)
        while await trio.to_thread.run_sync(sys.stdin.readline):
            print(json.dumps(measure()), flush=True)
        nursery.cancel_scope.cancel()


# --- the clients --------------------------------------------------------------------------------------


def open_stream(address: tuple[str, int], path: bytes) -> socket.socket:
    """Open a stream, and wait for its first event."""
    client = socket.create_connection(address)
    client.sendall(b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n" % path)
    received = b""
    while b"event: connected" not in received:
        if not (data := client.recv(65536)):
            raise ConnectionError(f"the server closed the connection: {received.decode()}")
        received += data
    return client


def compare(measure: str, path: bytes, streams: int) -> Amounts:
    """Return the bytes and objects of one stream, by name."""
    command = [sys.executable, __file__, "--serve", measure, "--streams", str(streams)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        host, _, port = server.stdout.readline().strip().rpartition("//")[2].rpartition(":")

        def ask() -> Amounts:
            print(file=server.stdin, flush=True)
            found: Amounts = json.loads(server.stdout.readline())  # type: ignore[union-attr]
            return found

        address = (host, int(port))
        try:
            clients = [open_stream(address, path) for _ in range(WARM_UP)]
            before = ask()
            clients += [open_stream(address, path) for _ in range(streams)]
            after = ask()
        finally:
            server.kill()
        for client in clients:
            client.close()
    amounts: Amounts = {}
    for name, (size, count) in after.items():
        old_size, old_count = before.get(name, (0.0, 0.0))
        amounts[name] = (size - old_size) / streams, (count - old_count) / streams
    return amounts


def show(title: str, amounts: Amounts) -> None:
    """Print the larger amounts, and the sum of all."""
    print(f"\n{title}: {sum(size for size, _ in amounts.values()):,.0f} bytes a stream")
    for name, (size, count) in sorted(amounts.items(), key=lambda item: -item[1][0]):
        if size >= _SHOWN_BYTES:
            print(f"  {size:8,.0f}  {count:6.2f}  {name}")


@click.command()
@click.option("--streams", default=2000, show_default=True, help="Number of streams.")
@click.option("--view", is_flag=True, help="Stream through a view of Quart.")
@click.option("--serve", "served", hidden=True)
def main(streams: int, view: bool, served: str | None) -> None:
    """Measure the memory of an open event stream."""
    raise_open_files()
    if served is not None:
        if served == "lines":
            tracemalloc.start()
        trio.run(serve, MEASURES[served], streams + WARM_UP + 10)
        return
    path = _PATHS["view" if view else "events"]
    for measure, title in (("rss", "RSS"), ("types", "Objects by type"), ("lines", "Blocks by line")):
        show(title, compare(measure, path, streams))


if __name__ == "__main__":
    main()
