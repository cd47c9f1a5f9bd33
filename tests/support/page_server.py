"""A server process for tests of the page, which can be restarted on the same port."""

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import httpx
from playwright.sync_api import Locator, Page, expect

from tests.support.browser import TIMEOUT_MS
from tests.support.certificates import trusting
from tests.support.forked import ForkedProcess, fork_blocking
from tests.support.program import environment


class PageServer:
    """``streamd serve`` with everything in memory.

    Args:
        options: further arguments of the command.
        variables: further environment variables.

    Attributes:
        url: of the server, once it has started.
    """

    def __init__(self, *options: str, **variables: str) -> None:
        self._options = options
        self._variables = variables
        self._process: ForkedProcess | None = None
        self._output: TextIO | None = None
        self.url = ""

    def start(self) -> None:
        """Start the server; again after :meth:`stop` or :meth:`kill`, on the same port.

        Its log is empty then, unless the options name one that is kept.
        """
        bind = self.url.rpartition("//")[2] or "127.0.0.1:0"
        command = ["serve", "--bind", bind, "--store", "memory:", *self._options]
        read, write = os.pipe()
        self._output = os.fdopen(read)
        try:
            variables = environment(**self._variables)
            self._process = fork_blocking(command, variables, subprocess.DEVNULL, write, 2)
        finally:
            os.close(write)
        self.url = self._output.readline().split()[-1]

    def stop(self) -> int:
        """Shut the server down gracefully, and return its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        assert self._output is not None
        self._process.send_signal(number)
        status = self._process.wait_blocking(30)
        self._output.close()
        return status

    def publish(self, topic: str, data: Any, type: str = "") -> None:
        """Publish one event."""
        self._post({"topic": topic, "data": data} | ({"type": type} if type else {}))

    def publish_all(self, topic: str, items: Iterable[Any]) -> None:
        """Publish one event for each item, all in one request."""
        self._post([{"topic": topic, "data": data} for data in items])

    def _post(self, body: object) -> None:
        httpx.post(f"{self.url}/events", json=body, verify=trusting()).raise_for_status()


@contextmanager
def page_server(*options: str, **variables: str) -> Iterator[PageServer]:
    """Run a server while the block lasts."""
    server = PageServer(*options, **variables)
    server.start()
    try:
        yield server
    finally:
        assert server.stop() == 0


def open_page(page: Page, server: PageServer, query: str = "?topic=logs&pattern=orders/*") -> None:
    """Open the page with a selection, and wait until it is connected."""
    page.goto(f"{server.url}/{query}")
    expect(page.get_by_test_id("state")).to_have_attribute("data-state", "connected", timeout=TIMEOUT_MS)


def row(page: Page, text: str) -> Locator:
    """Return the rows of the page's list with a text."""
    return page.get_by_test_id("log-row").filter(has_text=text)
