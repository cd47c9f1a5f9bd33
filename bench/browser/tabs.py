"""Pages in Chromium with a client, and the counts of their events."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from ..missing import Missing
from ..peers.base import HOST

CHROMIUM: Final = "/usr/bin/chromium"
_POLL_MS: Final = 50.0
_READ_SECONDS: Final = 30.0
_CODE: Final = "text/javascript"
_PAGE: Final = b"""<!doctype html><meta charset=utf-8><title>bench</title><link rel=icon href=data:,>
<script type=module src=/bench/SCRIPT.js></script>"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a headless Chromium for the block.

    Raises:
        Missing: it is not installed.
    """
    if not Path(CHROMIUM).exists():
        raise Missing("Chromium is not installed: install the Debian package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def page_files(scripts: dict[str, bytes]) -> dict[str, tuple[str, bytes]]:
    """Return a page for each script, and the scripts, by path."""
    pages = {
        f"/bench/{name}.html": ("text/html", _PAGE.replace(b"SCRIPT", name.encode())) for name in scripts
    }
    return pages | {f"/bench/{name}.js": (_CODE, content) for name, content in scripts.items()}


@attrs.frozen
class Received:
    """Counts of the events that a stream has received.

    Args:
        received: number of numbered events, repeats included.
        distinct: number of different ones.
        other: calls of the handler with something else.
        ended: reason why the client has given up; empty while it has not.
        transport: present or last transport, as streamd-client tells; empty for other clients.
    """

    received: int
    distinct: int
    other: int
    ended: str
    transport: str

    @property
    def repeated(self) -> int:
        return self.received - self.distinct


class Tab:
    """A page with a client.

    Args:
        context: of the browser, which has its own connections and cookies.
        port: of the proxy.
        name: of the page's script.
    """

    def __init__(self, context: BrowserContext, port: int, name: str) -> None:
        self.attempts: list[float] = []
        """Times at which the page asked for a stream (s since 1970), also while the network is off."""
        self.page: Page = context.new_page()
        self.page.on("request", self._count)
        self.page.goto(f"http://{HOST}:{port}/bench/{name}.html")
        self.page.wait_for_function("window.bench !== undefined")

    def _count(self, request: Any) -> None:
        if "/bench/" not in request.url:
            self.attempts.append(time.time())

    def start(self, path: str, **options: Any) -> None:
        """Open a stream."""
        self.page.evaluate("([path, options]) => window.bench.start(path, options)", [path, options])

    def read(self, index: int = 0) -> Received:
        """Return what one of the page's streams has received."""
        script = """(index) => {
            const { received, distinct, other, ended, transport } = window.bench.records[index];
            return { received, distinct, other, ended, transport };
        }"""
        return Received(**self.page.evaluate(script, index))

    def arrived_at(self, number: int, index: int = 0) -> float:
        """Return the time at which an event arrived first (s since 1970); infinite if it did not."""
        script = "([index, number]) => window.bench.records[index].at(number)"
        at_ms = self.page.evaluate(script, [index, number])
        return at_ms / 1000 if at_ms else float("inf")

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until the condition holds, and return whether it does."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.page.wait_for_timeout(_POLL_MS)  # Playwright handles its events meanwhile
        return True

    def wait_for(self, distinct: int, seconds: float, index: int = 0) -> bool:
        """Wait until a stream has received a number of different events."""
        return self.wait(lambda: self.read(index).distinct >= distinct, seconds)

    def await_count(self, distinct: int, seconds: float) -> None:
        """Wait in the page itself, without using its CPU, until its first stream has received a number."""
        script = "([distinct, ms]) => window.bench.records[0].reach(distinct, ms)"
        self.page.evaluate(script, [distinct, seconds * 1000])

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.page.wait_for_timeout(seconds * 1000)
