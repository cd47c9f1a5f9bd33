"""``streamd publish``: publish one event, or each line of standard input as it arrives."""

import os
import signal
import sys
from codecs import BOM_UTF8
from collections.abc import Callable
from typing import BinaryIO

import attrs
import click
import msgspec
import trio

from ..client import Publisher, Reconnecting, RequestFailed, draft
from ..client.publisher import LINES_BYTES_MAX, LINES_MAX
from ..errors import InvalidField
from ..events import Draft
from .client_options import ServerOptions, run, server_options
from .lines import LINE_BYTES_MAX, InputLine, LineReader
from .live import StatusLine

# The command line sets these for all lines, so a rejection of one line is one of all.
_COMMON_FIELDS = frozenset({"topic", "topics", "type", "retry", "private"})
_ONE_EVENT_SECONDS = 60.0


@attrs.frozen(kw_only=True)
class PublishOptions:
    """The options of the command."""

    server: ServerOptions
    topics: tuple[str, ...]
    type: str | None
    as_json: bool
    retry_ms: int | None
    private: bool
    retry_for: float | None
    quiet: bool

    def draft(self, data: str | bytes, key: str | None = None, *, binary: bool = False) -> Draft:
        """Build the event of some data.

        Args:
            data: an argument, a line or a file.
            key: the idempotency key; None for a random one.
            binary: publish the data as bytes, unless it is JSON.

        Raises:
            InvalidField: the data has to be JSON, and is not.
        """
        if self.as_json:
            # An argument that is not UTF-8 has surrogates (PEP 383), which fsencode() turns into its bytes.
            raw = os.fsencode(data) if isinstance(data, str) else data
            value: object = msgspec.Raw(raw.removeprefix(BOM_UTF8))  # Windows' editors and shells write one
        else:
            value = data if binary or isinstance(data, str) else data.decode(errors="replace")
        return draft(
            self.topics,
            value,
            type=self.type,
            retry_ms=self.retry_ms,
            idempotency_key=key,
            private=self.private,
        )

    def publisher(self, retry_for: float | None, on_retry: Callable[[Reconnecting], None]) -> Publisher:
        """Make a publisher for the server."""
        return Publisher(
            self.server.url,
            **self.server.arguments,
            retry_for_seconds=retry_for if self.retry_for is None else self.retry_for,
            on_retry=on_retry,
        )


@click.command()
@server_options
@click.option(
    "-t",
    "--topic",
    "topics",
    multiple=True,
    required=True,
    help="Topic; repeat for several, the canonical one first.",
)
@click.option("--type", "type_", metavar="TYPE", help="Event type; `message` by default.")
@click.option("--json", "as_json", is_flag=True, help="DATA, the file, or each line, is a JSON value.")
@click.option(
    "--file",
    type=click.File("rb"),
    help="Publish the bytes of a file as one event, or with --json its value; - for standard input.",
)
@click.option(
    "--idempotency-key",
    metavar="KEY",
    help="Publish DATA or the file once under this key, however often it is sent.",
)
@click.option(
    "--retry", "retry_ms", type=click.IntRange(min=0), metavar="MS", help="Reconnection time for clients."
)
@click.option("--private", is_flag=True, help="Callers without a token may not read it.")
@click.option(
    "--retry-for",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Time for retries while the server is unreachable; by default 60, unlimited for lines.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.argument("data", required=False)
def publish(
    server: ServerOptions,
    topics: tuple[str, ...],
    type_: str | None,
    as_json: bool,
    file: BinaryIO | None,
    idempotency_key: str | None,
    retry_ms: int | None,
    private: bool,
    retry_for: float | None,
    quiet: bool,
    data: str | None,
) -> None:
    """Publish DATA, or the bytes of a file, as one event and print its id.

    Without both, or with -, publish each line of standard input as it arrives. A restart of the server
    neither loses nor repeats a line; lines wait until it is back.

    \b
    Examples:
      streamd publish --topic orders/7 --type paid --json '{"amount": 12.5}'
      streamd publish --topic pages/7 --type image --file page-7.png
      tail -f some.log | streamd publish --topic logs
    """  # noqa: D301 - click's mark of a paragraph that must not be wrapped
    options = PublishOptions(
        server=server,
        topics=topics,
        type=type_,
        as_json=as_json,
        retry_ms=retry_ms,
        private=private,
        retry_for=retry_for,
        quiet=quiet,
    )
    command: _EventPublisher | _LinePublisher
    if file is not None:
        if data is not None:
            raise click.UsageError("publish DATA or --file, not both")
        command = _EventPublisher(options, _read_file(file), idempotency_key, binary=True)
    elif data is not None and data != "-":
        command = _EventPublisher(options, data, idempotency_key)
    elif idempotency_key is not None:
        raise click.UsageError("--idempotency-key needs DATA or --file: every line has its own key")
    else:
        command = _LinePublisher(options)
    sys.exit(run(command.run, command.on_signal))


def _read_file(file: BinaryIO) -> bytes:
    """Read a whole file, which is one event.

    Raises:
        click.ClickException: it cannot be read, or is larger than a line of input may be.
    """
    try:
        data = file.read(LINE_BYTES_MAX + 1)
    except OSError as error:
        raise click.ClickException(f"{file.name}: {error.strerror}") from error
    if len(data) > LINE_BYTES_MAX:
        raise click.ClickException(f"{file.name}: the file is larger than {LINE_BYTES_MAX} bytes")
    return data


class _EventPublisher:
    """Publishes one event and prints its id."""

    def __init__(
        self, options: PublishOptions, data: str | bytes, key: str | None, *, binary: bool = False
    ) -> None:
        self._options = options
        try:
            self._draft = options.draft(data, key, binary=binary)
        except InvalidField as error:
            raise click.UsageError(error.detail) from error
        self._state = "publishing"
        self._status = StatusLine(lambda: self._state, quiet=options.quiet)

    async def run(self) -> int:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._status.keep)
            async with self._options.publisher(_ONE_EVENT_SECONDS, self._on_retry) as publisher:
                event_id = await publisher.publish_draft(self._draft)
            nursery.cancel_scope.cancel()
        click.echo(event_id)
        return 0

    def on_signal(self, number: signal.Signals) -> None:
        self._status.notice("interrupted: it is not known whether the event was published")

    def _on_retry(self, retry: Reconnecting) -> None:
        if self._state == "publishing":
            self._status.notice(f"waiting for {self._options.server.url}: {retry.reason}")
        self._state = f"waiting for {self._options.server.url}: {retry.reason}"


class _LinePublisher:
    """Publishes each line of standard input, in order."""

    def __init__(self, options: PublishOptions) -> None:
        self._options = options
        self._reader = LineReader(0)
        self._sent = 0
        self._failed = 0
        self._blank = 0  # blank lines between JSON values are ignored
        self._waiting_for: str | None = None  # the reason why the server is unreachable
        self._typing = sys.stdin.isatty()
        # Typed input needs the last line of the terminal.
        self._status = StatusLine(self._describe, live=not self._typing, quiet=options.quiet)

    async def run(self) -> int:
        if self._typing:
            self._status.notice("Type one event per line; Ctrl-D ends.")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._reader.run)
            nursery.start_soon(self._status.keep)
            async with self._options.publisher(None, self._on_retry) as publisher:
                while lines := await self._reader.take(LINES_MAX, LINES_BYTES_MAX):
                    await self._publish(publisher, lines)
            nursery.cancel_scope.cancel()
        if sys.stderr.isatty():
            self._status.notice(f"{self._sent} lines sent" + self._failures())
        return 1 if self._failed else 0

    def on_signal(self, number: signal.Signals) -> None:
        waiting = self._waiting()
        unsure = f", {waiting} not confirmed" if waiting else ""
        self._status.notice(f"interrupted: {self._sent} lines sent{unsure}" + self._failures())

    async def _publish(self, publisher: Publisher, lines: list[InputLine]) -> None:
        numbers, drafts = [], []
        for line in lines:
            try:
                event = self._draft(line)
            except InvalidField as error:
                self._fail(line.number, error.detail)
                continue
            if event is not None:
                numbers.append(line.number)
                drafts.append(event)
        if not drafts:
            return
        for number, result in zip(numbers, await publisher.publish_lines(drafts), strict=True):
            if not isinstance(result, RequestFailed):
                self._sent += 1
                continue
            if result.problem.field in _COMMON_FIELDS:
                raise result
            self._fail(number, str(result))
        if self._waiting_for is not None:
            self._waiting_for = None
            self._status.notice("publishing again")

    def _draft(self, line: InputLine) -> Draft | None:
        if line.data is None:
            raise InvalidField(f"the line is longer than {LINE_BYTES_MAX} bytes")
        if self._options.as_json and not line.data.strip():
            self._blank += 1
            return None
        return self._options.draft(line.data)

    def _fail(self, number: int, why: str) -> None:
        self._failed += 1
        self._status.error(f"line {number}: {why}")

    def _on_retry(self, retry: Reconnecting) -> None:
        if self._waiting_for is None:
            self._status.notice(f"waiting for {self._options.server.url}: {retry.reason}")
        self._waiting_for = retry.reason

    def _waiting(self) -> int:
        return self._reader.lines_read - self._sent - self._failed - self._blank

    def _describe(self) -> str:
        state = "publishing" if self._waiting_for is None else f"waiting for the server: {self._waiting_for}"
        return f"{self._sent} lines sent, {self._waiting()} waiting{self._failures()}; {state}"

    def _failures(self) -> str:
        return f", {self._failed} rejected" if self._failed else ""
