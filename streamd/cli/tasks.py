"""``streamd tasks``: list, show, follow and cancel the tasks of a server."""

import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import click
import msgspec
from rich.console import Console

from ..client.tasks import STATUSES, TaskClient, TaskState
from .client_options import ServerOptions, run, server_options
from .live import printable
from .task_text import columns, description, one_line, table
from .task_watch import TaskWatch

T = TypeVar("T")

LISTED: Final = 100  # the default of --limit, and of the server


class _Utf8(click.ParamType[str]):
    """Valid UTF-8: a command line may have other bytes, which no request can have."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail("it is not UTF-8", param, ctx)
        return text


_task_id: Final = click.argument("task_id", metavar="ID", type=_Utf8())


@click.group()
def tasks() -> None:
    """List, show, follow and cancel tasks.

    \b
    Examples:
      streamd tasks ls --status running
      streamd tasks watch 5f0c2a9e41d7
    """  # noqa: D301 - click's mark of a paragraph that must not be wrapped


@tasks.command()
@server_options
@click.option("--kind", type=_Utf8(), help="Only tasks of this kind.")
@click.option("--status", type=click.Choice(STATUSES), help="Only tasks with this status.")
@click.option("--owner", type=_Utf8(), help="Only tasks of this owner.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=LISTED, show_default=True, help="Maximum number of tasks."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def ls(
    server: ServerOptions,
    kind: str | None,
    status: str | None,
    owner: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List tasks, the newest first.

    Prints a table on a terminal, and aligned columns elsewhere.
    """
    client = _Client(server)
    found = client.ask(lambda c: c.list(kind=kind, status=status, owner=owner, limit=limit))
    if as_json:
        for task in found:
            _print_json(task.fields)
    elif not found:
        click.echo("there are no such tasks" if kind or status or owner else "there are no tasks", err=True)
    elif sys.stdout.isatty():
        Console(force_terminal=True, highlight=False, markup=False).print(table(found, datetime.now(UTC)))
    else:
        click.echo(columns(found), nl=False)
    if len(found) == limit:
        click.echo(f"these are the newest {limit}; there may be more, see --limit", err=True)


@tasks.command()
@server_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with all fields.")
@_task_id
def show(server: ServerOptions, as_json: bool, task_id: str) -> None:
    """Show all fields of a task, its steps, its error and its result."""

    async def ask(client: TaskClient) -> tuple[TaskState, Any]:
        task = await client.get(task_id)
        return task, await client.result(task_id) if task.has_result else msgspec.UNSET

    task, result = _Client(server).ask(ask)
    if as_json:
        _print_json(task.fields if result is msgspec.UNSET else {**task.fields, "result": result})
    else:
        click.echo(description(task, result), nl=False)


@tasks.command()
@server_options
@click.option("--text", is_flag=True, help="Print the text that the task streams; on a pipe, only the text.")
@_task_id
def watch(server: ServerOptions, text: bool, task_id: str) -> None:
    """Follow a task to its end.

    Shows a progress bar on a terminal, and prints a line for each change elsewhere. With --text on a pipe,
    standard output has the text alone and the lines go to standard error.

    Reconnects after a lost connection or a restart of the server. Ends with status 0 if the task is
    completed, with 1 if it failed or was cancelled, and with 130 on Ctrl-C, which does not cancel the task.
    """
    command = TaskWatch(lambda: TaskClient(server.url, **server.arguments), task_id, text=text)
    sys.exit(run(command.run, command.on_signal))


@tasks.command()
@server_options
@click.option("--message", type=_Utf8(), default="", help="Reason, for the followers of the task.")
@_task_id
def cancel(server: ServerOptions, message: str, task_id: str) -> None:
    """Cancel a task."""
    client = _Client(server, unsure="it is not known whether the task was cancelled")
    task = client.ask(lambda c: c.cancel(task_id, message=message))
    click.echo(f"{one_line(task.id)} is {one_line(task.status)}")


class _Client:
    """Makes one request; printing its answer may block.

    Args:
        unsure: the message for an interrupted request.
    """

    def __init__(self, server: ServerOptions, *, unsure: str = "") -> None:
        self._make: Callable[[], TaskClient] = lambda: TaskClient(server.url, **server.arguments)
        self._unsure = unsure

    def ask(self, ask: Callable[[TaskClient], Awaitable[T]]) -> T:
        """Return the answer. A signal ends the process with 128 plus its number."""
        answers: list[T] = []

        async def main() -> int:
            answers.append(await ask(self._make()))
            return 0

        status = run(main, self._on_signal)
        if not answers:
            sys.exit(status)
        return answers[0]

    def _on_signal(self, number: signal.Signals) -> None:
        if self._unsure:
            click.echo(f"interrupted: {self._unsure}", err=True)


def _print_json(value: Any) -> None:
    text = msgspec.json.encode(value).decode()
    click.echo(printable(text) if sys.stdout.isatty() else text)
