"""A live line at the foot of the terminal, with notices above it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from ..characters import escape_invalid

REFRESH_SECONDS: Final = 0.25


class StatusLine:
    """Writes to standard error: notices always, and the live line on a terminal.

    Args:
        describe: returns the current text of the line.
        live: whether to show a live line.
        quiet: write errors only.
    """

    def __init__(self, describe: Callable[[], str], *, live: bool = True, quiet: bool = False) -> None:
        self._quiet = quiet
        self._describe = describe
        # Rich would also obey FORCE_COLOR.
        on_terminal = sys.stderr.isatty()
        self._console = Console(stderr=True, force_terminal=on_terminal, highlight=False, markup=False)
        self._spinner = Spinner("dots")
        self._live: Live | None = None
        if on_terminal and live and not quiet and not self._console.is_dumb_terminal:
            self._live = Live(
                self._spinner,
                console=self._console,
                auto_refresh=False,  # it would write from another thread
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )

    async def keep(self) -> None:
        """Show and refresh the line until cancelled, which removes it."""
        if self._live is None:
            await trio.sleep_forever()
        try:
            while True:
                self._show()
                await trio.sleep(REFRESH_SECONDS)
        finally:
            self._hide()
            self._live = None

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Hide the line while something else is written to the same terminal."""
        self._hide()
        try:
            yield
        finally:
            self._show()

    def notice(self, text: str) -> None:
        """Write a notice, unless quiet."""
        if not self._quiet:
            self.error(text)

    def error(self, text: str) -> None:
        """Write an error."""
        with self.hidden():
            self._console.file.write(printable(text) + "\n")
            self._console.file.flush()

    def _show(self) -> None:
        if self._live is not None:
            self._spinner.update(text=Text(printable(self._describe()), no_wrap=True, overflow="ellipsis"))
            self._live.start()
            self._live.refresh()

    def _hide(self) -> None:
        if self._live is not None:
            self._live.stop()


def printable(text: str) -> str:
    """Escape control characters and bidirectional overrides; line ends and tabs stay."""
    return escape_invalid(text, keep="\n\t")
