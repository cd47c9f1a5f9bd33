"""The common parts of client commands: the options of the server, signals, and the exit status."""

import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import Any, Final, TypeVar

import attrs
import click
import trio

from ..errors import InvalidField, StreamdError
from .live import printable

F = TypeVar("F", bound=Callable[..., Any])

_TOKEN_VARIABLE: Final = "STREAMD_TOKEN"  # noqa: S105 - the name of a variable
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@attrs.frozen
class ServerOptions:
    """The server that a command talks to.

    Args:
        url: of the server.
        cacert: PEM file with the certificate authorities; None for the system's.
        http2: use HTTP/2.
        token_file: file with the token, which is read again for each connection; None without.
        token: from the environment; empty without.
    """

    url: str
    cacert: str | None = None
    http2: bool = False
    token_file: str | None = None
    token: str = attrs.field(default="", repr=False)

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of a client besides the URL."""
        proof = self._read_token if self.token_file else self.token or None
        return {"verify": self.cacert or True, "http2": self.http2, "token": proof}

    async def _read_token(self) -> str:
        assert self.token_file is not None
        text = await trio.Path(self.token_file).read_text(encoding="utf-8-sig")
        token = text.strip()
        if not token or not token.isascii() or len(token.split()) != 1:
            raise InvalidField("the token file must have one token", field="token_file")
        return token


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
    click.option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False),
        metavar="FILE",
        help="File with the token for a server with keys; without it, STREAMD_TOKEN in the environment.",
    ),
)


def server_options(command: F) -> F:
    """Add --url, --cacert, --http2 and --token-file to a command, which gets them as ``server``."""

    @wraps(command)
    def with_server(
        *arguments: Any, url: str, cacert: str | None, http2: bool, token_file: str | None, **options: Any
    ) -> Any:
        token = os.environ.get(_TOKEN_VARIABLE, "")
        server = ServerOptions(url, cacert, http2, token_file, token)
        return command(*arguments, server=server, **options)

    wrapped: Any = with_server
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    result: F = wrapped
    return result


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
