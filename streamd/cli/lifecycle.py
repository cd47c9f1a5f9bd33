"""The signals of a server and the line that names its addresses, for one process or several."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, NoReturn

import click

SERVER_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def ignore_hangups() -> None:
    """Ignore SIGHUP until signals are received, and after that: a late reload must not end the process."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def announce(addresses: Sequence[str]) -> None:
    """Print the addresses on which connections are accepted."""
    for address in addresses:
        click.echo(f"streamd is listening on {address}")
    sys.stdout.flush()


async def handle_signals(
    signals: AsyncIterator[int],
    *,
    reload: Callable[[], None],
    stop: Callable[[], None],
    kill: Callable[[], None] = lambda: None,
) -> NoReturn:
    """Reload on SIGHUP and stop on the others; the second of those has its default effect.

    The kernel sends SIGHUP also when the terminal is closed: then the server stops, too.

    Args:
        signals: of :data:`SERVER_SIGNALS`.
        reload: called on each SIGHUP.
        stop: called once; begins the graceful shutdown.
        kill: called before the default effect of the second signal, which ends this process.
    """
    had_terminal = _has_terminal()
    is_stopping = False
    async for number in signals:
        if number == signal.SIGHUP and _has_terminal() == had_terminal:
            reload()
        elif not is_stopping:
            is_stopping = True
            stop()
        elif number != signal.SIGHUP:
            kill()
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
    raise AssertionError("signals come until the receiver is closed")


def _has_terminal() -> bool:
    """Return True while the process has a controlling terminal (tty(4))."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
