"""``streamd subscribe``: print events as they arrive, without missing one."""

import signal
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Literal

import attrs
import click
import msgspec
import trio

from ..client import (
    ClosingNotice,
    Connected,
    CursorMoved,
    EventSubscription,
    Gap,
    Item,
    ReceivedEvent,
    Reconnecting,
)
from ..client import subscribe as open_subscription
from ..client.subscription import BUFFER_ITEMS, TRANSPORTS, Transport
from ..errors import InvalidField
from ..events import parse_event_id
from ..events.data import BASE64, encode_base64
from .client_options import ServerOptions, run, server_options
from .live import StatusLine, printable
from .output import CommandOutput

Format = Literal["text", "json", "ids"]


@attrs.frozen(kw_only=True)
class SubscribeOptions:
    """The options of the command."""

    server: ServerOptions
    topics: tuple[str, ...]
    patterns: tuple[str, ...]
    after: str | None
    cursor_file: Path | None
    transport: Transport
    overflow: str | None
    client_id: str | None
    format: Format
    verbose: bool
    count: int | None
    timeout: float | None
    quiet: bool

    def open(self, after: str | None) -> AbstractAsyncContextManager[EventSubscription]:
        """Open the subscription after an id."""
        return open_subscription(
            self.server.url,
            topics=self.topics,
            patterns=self.patterns,
            after=after,
            overflow=self.overflow,
            transport=self.transport,
            client_id=self.client_id,
            **self.server.arguments,
        )

    def read_cursor(self) -> str | None:
        """Return the id to resume after: that of the cursor file, or --after without a file.

        Raises:
            click.UsageError: the file cannot be read, or has no event id.
        """
        if self.cursor_file is None:
            return self.after
        try:
            text = self.cursor_file.read_text(encoding="utf-8-sig").strip()
        except FileNotFoundError as error:
            if not self.cursor_file.parent.is_dir():
                raise click.UsageError(f"{self.cursor_file}: the folder does not exist") from error
            return self.after
        except OSError as error:
            reason = error.strerror or error
            raise click.UsageError(f"{self.cursor_file} cannot be read: {reason}") from error
        except UnicodeError:
            text = "not UTF-8"  # no event id
        try:
            return parse_event_id(text)
        except InvalidField as error:
            raise click.UsageError(f"{self.cursor_file} is not a cursor file: {error.detail}") from error


@click.command()
@server_options
@click.option("-t", "--topic", "topics", multiple=True, help="Topic; repeat for several.")
@click.option(
    "-p", "--pattern", "patterns", multiple=True, help="Pattern, such as 'tasks/**'; repeat for several."
)
@click.option("--after", metavar="ID|earliest", help="Resume after this event, or replay the whole log.")
@click.option(
    "--cursor-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Store the cursor in this file, and resume from it at the next start.",
)
@click.option(
    "--transport",
    type=click.Choice(list(TRANSPORTS)),
    default="sse",
    show_default=True,
    help="Protocol of the connection.",
)
@click.option(
    "--overflow",
    type=click.Choice(["catch-up", "latest", "disconnect"]),
    help="Overflow policy for a slow consumer; not for polls.",
)
@click.option(
    "--client-id",
    metavar="NAME",
    help="Name of this client; each of its connections replaces the one before.",
)
@click.option(
    "-o",
    "--output",
    "format_",
    type=click.Choice(["text", "json", "ids"]),
    default="text",
    show_default=True,
    help="text: the data. json: one object per line, with the data as text. ids: the ids. Bytes are base64.",
)
@click.option("-v", "--verbose", is_flag=True, help="Print id and type before the data (text only).")
@click.option("-n", "--count", type=click.IntRange(min=1), help="End after this number of events.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="End after this time."
)
@click.option("-q", "--quiet", is_flag=True, help="Print gaps and errors only.")
def subscribe(
    server: ServerOptions,
    topics: tuple[str, ...],
    patterns: tuple[str, ...],
    after: str | None,
    cursor_file: Path | None,
    transport: Transport,
    overflow: str | None,
    client_id: str | None,
    format_: Format,
    verbose: bool,
    count: int | None,
    timeout: float | None,
    quiet: bool,
) -> None:
    """Print events as they arrive. Reconnects, and resumes at the cursor.

    Events go to standard output; gaps and the state of the connection go to standard error. Ends with status
    0 after --count events, at the --timeout without --count, and on SIGTERM; with 1 if --count was not
    reached; with 130 on Ctrl-C.

    \b
    Examples:
      streamd subscribe --topic logs
      streamd subscribe --pattern 'merchant:*:*' --output json --cursor-file cursor | jq .
    """  # noqa: D301 - click's mark of a paragraph that must not be wrapped
    if not topics and not patterns:
        raise click.UsageError("name at least one --topic or --pattern")
    options = SubscribeOptions(
        server=server,
        topics=topics,
        patterns=patterns,
        after=after,
        cursor_file=cursor_file,
        transport=transport,
        overflow=overflow,
        client_id=client_id,
        format=format_,
        verbose=verbose,
        count=count,
        timeout=timeout,
        quiet=quiet,
    )
    command = _Subscribe(options)
    status = run(command.run, command.on_signal)
    sys.exit(0 if status == 128 + signal.SIGTERM else status)


class _Subscribe:
    """Prints the items of a subscription, and stores its cursor."""

    def __init__(self, options: SubscribeOptions) -> None:
        self._options = options
        self._after = options.read_cursor()
        self._output = CommandOutput()
        self._on_terminal = sys.stdout.isatty()
        self._status = StatusLine(self._describe, quiet=options.quiet)
        self._events = 0
        self._last_event_at: float | None = None
        self._state = f"connecting to {options.server.url}"
        self._stored: str | None = None  # the content of the cursor file

    async def run(self) -> int:
        status = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._status.keep)
            nursery.start_soon(self._watch_reader, nursery.cancel_scope)
            with trio.move_on_after(self._options.timeout or float("inf")):
                try:
                    async with self._options.open(self._after) as subscription:
                        await self._print_all(subscription)
                except BrokenPipeError:
                    nursery.cancel_scope.cancel()  # the reader has closed the pipe
                    await trio.lowlevel.checkpoint()
            count = self._options.count
            status = 0 if count is None or self._events >= count else 1
            nursery.cancel_scope.cancel()
        return status

    def on_signal(self, number: signal.Signals) -> None:
        self._output.hurry()

    async def _watch_reader(self, scope: trio.CancelScope) -> None:
        await self._output.reader_gone()
        scope.cancel()

    async def _print_all(self, subscription: EventSubscription) -> None:
        count = self._options.count
        while count is None or self._events < count:
            most = BUFFER_ITEMS if count is None else min(BUFFER_ITEMS, count - self._events)
            items = await subscription.receive_some(most)
            if not items:
                self._status.notice("the stream is over")
                return
            await self._print(items, subscription)

    async def _print(self, items: list[Item], subscription: EventSubscription) -> None:
        """Write a batch; its notices keep their order between the events."""
        lines: list[str] = []
        for item in items:
            if isinstance(item, ReceivedEvent):
                if item.id or self._options.format != "ids":  # a message to this client alone has none
                    lines.append(self._line(item))
            elif not isinstance(item, CursorMoved):
                await self._write(lines)
                lines = []
                self._take_state(item)
        await self._write(lines, subscription.cursor)

    async def _write(self, lines: list[str], cursor: str | None = None) -> None:
        def done() -> None:
            if lines:
                self._events += len(lines)
                self._last_event_at = trio.current_time()
            if cursor is not None:
                self._store(cursor)

        data = "".join(lines).encode(errors="replace")
        if self._on_terminal and data:
            with self._status.hidden():
                await self._output.write(data, done)
        else:
            await self._output.write(data, done)

    def _line(self, event: ReceivedEvent) -> str:
        data, marker = event.data, {}
        if isinstance(data, bytes):
            data, marker = encode_base64(data), {"encoding": BASE64}
        match self._options.format:
            case "ids":
                text = event.id
            case "json":
                fields = {"id": event.id, "type": event.type, "topics": event.topics, "data": data}
                text = msgspec.json.encode(fields | marker).decode()
            case "text":
                text = f"{event.id} {event.type} {data}" if self._options.verbose else data
        return (printable(text) if self._on_terminal else text) + "\n"

    def _take_state(self, item: Item) -> None:
        match item:
            case Gap():
                self._status.error(
                    f"gap: events after {item.requested} are no longer kept; "
                    f"going on after {item.resumed_after}"
                )
            case Connected():
                self._say("connected", f"connected to {self._options.server.url}")
            case Reconnecting():
                self._say("reconnecting", f"reconnecting in {item.delay_seconds:.1f} s: {item.reason}")
            case ClosingNotice():
                self._say("closing", f"the server closes the connection: {item.reason}")

    def _say(self, state: str, notice: str) -> None:
        self._state = state
        self._status.notice(notice)

    def _store(self, cursor: str) -> None:
        """Replace the cursor file atomically: a reader finds the old cursor or the new one."""
        file = self._options.cursor_file
        if file is None or cursor == self._stored:
            return
        fresh = file.with_name(file.name + ".new")
        fresh.write_text(cursor + "\n")
        fresh.replace(file)
        self._stored = cursor

    def _describe(self) -> str:
        last = "none yet"
        if self._last_event_at is not None:
            last = f"the last {trio.current_time() - self._last_event_at:.0f} s ago"
        return f"{self._state}; {self._events} events, {last}"
