"""The common parts of client commands: the options of the server, signals, and the exit status."""

import signal
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeVar

import click
import trio

from ..errors import InvalidField, StreamdError
from .live import printable

F = TypeVar("F", bound=Callable[..., Any])

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

_OPTIONS: Final = (
    click.option(
        "--url",
        envvar="STREAMD_URL",
        show_envvar=True,
        default="http://127.0.0.1:8080",
        show_default=True,
        metavar="URL",
        help="URL of the server.",
    ),
    click.option(
        "--cacert",
        type=click.Path(exists=True, dir_okay=False),
        metavar="FILE",
        help="Trust the certificate authorities in this PEM file (https).",
    ),
    click.option("--http2", is_flag=True, help="Use HTTP/2; without TLS by prior knowledge."),
)


def server_options(command: F) -> F:
    """Add --url, --cacert and --http2 to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def run(main: Callable[[], Awaitable[int]], on_signal: Callable[[signal.Signals], None]) -> int:
    """Run the asynchronous part of a command.

    Args:
        main: returns the exit status; cancelled by SIGINT and SIGTERM.
        on_signal: called with the signal before ``main`` is cancelled.

    Returns:
        The status of ``main``, or 128 plus the number of the signal.

    Raises:
        click.ClickException: the server rejected the request, or an option is invalid; with the message.
    """
    try:
        return trio.run(partial(_run_until_signal, main, on_signal), strict_exception_groups=True)
    except* InvalidField as group:
        error: Exception = click.UsageError(str(first_leaf(group)))
    except* (OSError, StreamdError) as group:
        # On one line and without control characters: the text is the server's.
        error = click.ClickException(printable(" ".join(str(first_leaf(group)).split())))
    raise error


async def _run_until_signal(
    main: Callable[[], Awaitable[int]], on_signal: Callable[[signal.Signals], None]
) -> int:
    status = 0

    async def watch(*, task_status: trio.TaskStatus[None]) -> None:
        nonlocal status
        with trio.open_signal_receiver(*SIGNALS) as signals:
            task_status.started()
            async for number in signals:
                status = 128 + number
                on_signal(signal.Signals(number))
                nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        await nursery.start(watch)
        status = await main()
        nursery.cancel_scope.cancel()
    return status


def first_leaf(error: BaseException) -> BaseException:
    """Return the first exception of a group that is no group itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
