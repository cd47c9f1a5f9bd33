"""A cell of the table: one client in Chromium, behind a proxy that makes the fault."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Final

import attrs
from playwright.sync_api import Browser, BrowserContext

from ..clients import BrowserClient
from ..exchange import Request
from ..proxy import FaultProxy
from ..server import RETRY_MS, Server
from ..tables import Counts
from ..tabs import Received, Tab, page_files

FIRST_NUMBERS: Final = range(10)
"""Events that a client has received before a fault."""

SECONDS_MAX: Final = 15.0
"""Time for a client to come back; then it counts as not coming back."""

_OPEN_SECONDS: Final = 15.0
_SUBSCRIBED_SECONDS: Final = 0.3  # from the head of a response until the server has surely subscribed
_topics = (f"bench-{number}" for number in count())


@attrs.frozen
class Case:
    """A row of the table.

    Args:
        title: of the row.
        about: what happens, in a sentence for the report.
        measure: runs one cell.
        show: writes its counts, or the medians of several runs, as the text of the cell.
    """

    title: str
    about: str
    measure: Callable[["Cell"], Counts]
    show: Callable[[Any], str]


@attrs.frozen
class Rig:
    """The browser and the server that cells share.

    Args:
        scripts: of the pages, by name.
    """

    browser: Browser
    server: Server
    scripts: dict[str, bytes]

    def measure(self, case: Case, client: BrowserClient) -> Counts:
        """Run one cell.

        Raises:
            RuntimeError: the client or its page failed before the fault.
        """
        with self.cell(client) as cell:
            return case.measure(cell)

    @contextmanager
    def cell(self, client: BrowserClient, server: Server | None = None) -> Iterator["Cell"]:
        """Prepare a cell, with a topic, a proxy and a browser context of its own.

        Args:
            client: of the column.
            server: behind the proxy; by default the shared one.
        """
        server = server or self.server
        proxy = FaultProxy(page_files(self.scripts), server.port)
        with proxy.running():
            cell = Cell(self, client, server, proxy, next(_topics))
            try:
                yield cell
            finally:
                cell.close()


class Cell:
    """One client with its proxy, server and topic."""

    def __init__(
        self, rig: Rig, client: BrowserClient, server: Server, proxy: FaultProxy, topic: str
    ) -> None:
        self.rig = rig
        self.client = client
        self.server = server
        self.proxy = proxy
        self.topic = topic
        self._contexts: list[BrowserContext] = []

    @property
    def path(self) -> str:
        """The stream's path and query."""
        return f"/events?topic={self.topic}"

    @property
    def requests(self) -> list[Request]:
        """The requests to subscribe until now."""
        return [request for request in self.proxy.requests if request.is_stream]

    def requests_since(self, at: float) -> list[Request]:
        """Return the requests to subscribe from a time on (s since 1970)."""
        return [request for request in self.requests if request.at >= at]

    def new_context(self) -> BrowserContext:
        """Make a browser context, which has its own six connections for each host."""
        context = self.rig.browser.new_context()
        self._contexts.append(context)
        return context

    def new_tab(self, context: BrowserContext | None = None) -> Tab:
        """Load a page, which opens no stream yet."""
        return Tab(context or self.new_context(), self.proxy.port, self.client.page)

    def start(self, tab: Tab, *, path: str = "", **options: Any) -> None:
        """Open a stream; where the client has an option for it, its first wait is the server's `retry`."""
        tab.start(path or self.path, backoffMs=RETRY_MS, **options)

    def open(self, **options: Any) -> Tab:
        """Load a page, open a stream, and receive the first events."""
        tab = self.new_tab()
        self.start(tab, **options)
        self.await_streams(tab, 1)
        self.publish(FIRST_NUMBERS)
        if not tab.wait_for(len(FIRST_NUMBERS), _OPEN_SECONDS):
            raise RuntimeError(f"{self.client.name} did not receive the first events: {tab.read()}")
        return tab

    def await_streams(self, tab: Tab, number: int) -> None:
        """Wait until a number of streams are open."""
        if not tab.wait(lambda: len(self.proxy.streams()) >= number, _OPEN_SECONDS):
            raise RuntimeError(f"{self.client.name} opened {len(self.proxy.streams())} of {number} streams")
        tab.sleep(_SUBSCRIBED_SECONDS)

    def publish(self, numbers: Iterable[int], type: str = "") -> None:
        """Publish numbered events in one request, past the proxy."""
        self.server.publish(self.topic, numbers, type)

    def close(self) -> None:
        """Close the pages."""
        for context in self._contexts:
            context.close()


def losses(received: Received, published: Sequence[int]) -> dict[str, float]:
    """Count the lost and the repeated events."""
    return {"missing": len(published) - received.distinct, "repeated": received.repeated}


def show_losses(counts: Mapping[str, float]) -> str:
    """Write the lost and the repeated events."""
    missing, repeated = counts["missing"], counts["repeated"]
    return f"{missing:.0f} lost" + (f", {repeated:.0f} repeated" if repeated else "")


def plural(number: float, noun: str) -> str:
    """Write a number of things."""
    return f"{number:.0f} {noun}" + ("" if number == 1 else "s")
