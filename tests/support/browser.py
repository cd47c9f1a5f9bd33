"""Debian's Chromium, driven by Playwright."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, sync_playwright

CHROMIUM: Final = "/usr/bin/chromium"
TIMEOUT_MS: Final = 30_000
"""Timeout of one expectation: far more than a page needs, also on a busy machine."""


@contextmanager
def chromium(*options: str) -> Iterator[Browser]:
    """Run a headless browser while the block lasts. Playwright blocks: not for trio's thread.

    Args:
        options: further flags of the browser.
    """
    assert Path(CHROMIUM).exists(), "Debian's package chromium is missing; `make test` installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *options])
        try:
            yield browser
        finally:
            browser.close()


class _EmptyPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content = b"<!doctype html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Write no line for a request."""


@contextmanager
def empty_pages() -> Iterator[int]:
    """Serve empty pages without a Content-Security-Policy on a port of 127.0.0.1 while the block lasts."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _EmptyPage) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
