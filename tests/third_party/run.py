"""Running drivers: a process each for Node and Python, a page of Chromium each for the others."""

import json
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import urljoin, urlsplit

import attrs
from playwright.sync_api import Browser, Page

from tests.support.fault_proxy import FaultProxy
from tests.support.node import node_command
from tests.support.program import environment
from tests.third_party.clients import ThirdPartyClient

FOLDER: Final = Path(__file__).parent
DRIVERS: Final = FOLDER / "drivers"
MODULES: Final = FOLDER / "node_modules"
PLAIN_PATH: Final = "/health/live"
"""A page of the server without a script of its own."""
TYPES: Final = ("message", "gap", "closing", "status", "progress", "complete", "error")
"""The event types that EventSource and its like listen to."""
_SECONDS: Final = 60.0  # timeout of one expectation: far more than any client needs, also on a busy machine
_POLL_SECONDS: Final = 0.02


@attrs.frozen
class Received:
    """One event that a driver has recorded; of ``open``, ``rejected`` and ``end`` see the drivers."""

    type: str
    data: str
    id: str


class DriverRun(ABC):
    """A client that runs. Its events are there as soon as its library has them.

    Args:
        client: the client.
        url: of its stream.
    """

    def __init__(self, client: ThirdPartyClient, url: str) -> None:
        self.client = client
        self._target = f"GET {urlsplit(url).path}?"

    @abstractmethod
    def received(self) -> list[Received]:
        """Return all that was recorded, in order."""

    def has_ended(self) -> bool:
        """Return True if the driver's process has ended, and all that it has printed was read."""
        return False

    def of_type(self, type: str) -> list[Received]:
        """Return what was recorded of one type."""
        return [item for item in self.received() if item.type == type]

    def wait(self, condition: Callable[[list[Received]], bool], what: str) -> None:
        """Wait until a condition holds of what was recorded.

        Raises:
            AssertionError: it did not in time.
        """
        deadline = time.monotonic() + _SECONDS
        while True:
            ended = self.has_ended()  # asked first, because a driver records something and ends
            if condition(received := self.received()):
                return
            assert not ended, f"{self.client.name}: ended without {what}; last: {received[-5:]}"
            assert time.monotonic() < deadline, f"{self.client.name}: no {what}; last: {received[-5:]}"
            time.sleep(_POLL_SECONDS)

    def requests(self, proxy: FaultProxy) -> int:
        """Count the requests for the stream that have reached the client's proxy."""
        return sum(request.head.startswith(self._target) for request in proxy.requests)

    def wait_requests(self, proxy: FaultProxy, count: int) -> None:
        """Wait until a number of requests for the stream have reached the client's proxy."""
        self.wait(lambda _: self.requests(proxy) >= count, f"{count} requests")

    def wait_count(self, type: str, count: int) -> None:
        """Wait for a number of events of one type."""
        self.wait(lambda received: sum(item.type == type for item in received) >= count, f"{count} x {type}")


class _ProcessRun(DriverRun):
    def __init__(self, client: ThirdPartyClient, url: str, process: subprocess.Popen[str]) -> None:
        super().__init__(client, url)
        self._items: list[Received] = []
        self._process = process
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def received(self) -> list[Received]:
        return self._items.copy()

    def has_ended(self) -> bool:
        return not self._thread.is_alive()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._items.append(Received(*json.loads(line)))


class _PageRun(DriverRun):
    def __init__(self, client: ThirdPartyClient, url: str, page: Page) -> None:
        super().__init__(client, url)
        self._page = page
        self._items: list[Received] = []

    def received(self) -> list[Received]:
        new = self._page.evaluate("(start) => received.slice(start)", len(self._items))
        self._items.extend(Received(*item) for item in new)
        return self._items.copy()


@contextmanager
def run_drivers(
    clients: Iterable[ThirdPartyClient], browser: Browser, url_of: Callable[[ThirdPartyClient], str]
) -> Iterator[list[DriverRun]]:
    """Run clients at once while the block lasts.

    Args:
        clients: to run.
        browser: for those that run in pages, each in a context of its own.
        url_of: returns the URL of a client's stream; its page is of the same origin.
    """
    with ExitStack() as stack:
        yield [_start(client, browser, url_of(client), stack) for client in clients]


def _start(client: ThirdPartyClient, browser: Browser, url: str, stack: ExitStack) -> DriverRun:
    if client.runs_in == "chromium":
        context = stack.enter_context(browser.new_context(bypass_csp=True))
        page = context.new_page()
        page.goto(urljoin(url, PLAIN_PATH))
        page.add_script_tag(content=_bundle(client.driver))
        page.evaluate("([url, types]) => start(url, types)", [url, TYPES])
        return _PageRun(client, url, page)
    command = {
        "node": [node_command(), str(DRIVERS / "node.js"), client.driver, url, *TYPES],
        "python": [sys.executable, "-m", f"tests.third_party.drivers.{client.driver}", url],
    }[client.runs_in]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment()
    )
    run = _ProcessRun(client, url, process)
    stack.callback(run.stop)
    return run


@cache
def _bundle(driver: str) -> str:
    """Return the script of a page: ``page.js`` with the driver and its library."""
    esbuild = MODULES / ".bin" / "esbuild"
    assert esbuild.exists(), "packages are missing; conf/setup/node.sh --in tests/third_party installs them"
    options = ["--bundle", "--format=iife", f"--alias:driver={DRIVERS / driver}.js"]
    done = subprocess.run(
        [esbuild, *options, DRIVERS / "page.js"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
