"""Debian's Chromium, driven by Playwright."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, sync_playwright

CHROMIUM: Final = "/usr/bin/chromium"
TIMEOUT_MS: Final = 30_000
"""Timeout of one expectation: far more than a page needs, also on a busy machine."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a headless browser while the block lasts. Playwright blocks: not for trio's thread."""
    assert Path(CHROMIUM).exists(), "Debian's package chromium is missing; `make test` installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
