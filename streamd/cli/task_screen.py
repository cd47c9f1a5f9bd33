"""A task on a terminal: a live progress bar with the steps at the foot, and the text above it."""

import sys
from collections.abc import Iterable, Sequence
from typing import Final

import trio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..client.tasks import ENDED, StepState
from .live import REFRESH_SECONDS, printable
from .task_state import FollowedTask
from .task_text import STATUS_STYLES, duration, one_line, percent

BAR_WIDTH: Final = 40
OTHER_ROWS: Final = 12  # rows of the terminal that are not for steps
PARTIAL_ROWS: Final = 3  # rows for a line of text without its end
_OVER: Final = ENDED | {"skipped"}
_MARKS: Final = {"completed": "✓", "failed": "✗", "running": "●", "skipped": "-"}
_ASCII_MARKS: Final = {"completed": "+", "failed": "x", "running": ">", "skipped": "-"}


def is_terminal() -> bool:
    """Return whether standard output is a terminal with cursor control."""
    # Rich would also obey FORCE_COLOR.
    return sys.stdout.isatty() and not Console().is_dumb_terminal


class TaskScreen:
    """Shows a followed task as a live progress bar.

    Args:
        task: the followed task.
        text: whether to print its text.
    """

    def __init__(self, task: FollowedTask, *, text: bool) -> None:
        self._task = task
        self._text = text
        self._partial = ""  # the last line of the text, without its end
        self._notice = ""
        self._console = Console(force_terminal=True, highlight=False, markup=False)
        self._live: Live | None = Live(
            console=self._console,
            get_renderable=self._frame,
            auto_refresh=False,  # it would write from another thread
            redirect_stdout=False,
            redirect_stderr=False,
        )

    async def keep(self, scope: trio.CancelScope) -> None:
        while self._live is not None:
            self._live.start()
            self._live.refresh()
            await trio.sleep(REFRESH_SECONDS)

    async def update(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        if not self._text or not text:
            return
        *lines, self._partial = (self._partial + text).split("\n")
        if lines:
            self._print("\n".join(lines))

    def say(self, notice: str) -> None:
        self._notice = notice
        if self._live is not None and self._live.is_started:
            self._live.refresh()  # the notice may be the last change

    def hurry(self) -> None:
        pass

    def close(self) -> None:
        if self._live is None:
            return
        live, self._live = self._live, None
        self._notice = ""
        if self._partial:
            self._print(self._partial)
            self._partial = ""
        if live.is_started:
            live.refresh()
            live.stop()

    def _print(self, text: str) -> None:
        self._console.print(Text(printable(text)), soft_wrap=True)

    def _frame(self) -> RenderableType:
        task, console = self._task, self._console
        rows: list[RenderableType] = []
        if self._partial:
            rows.append(Text(printable(self._partial)[-PARTIAL_ROWS * console.width :]))
        rows += [_cut(f"{task.kind} {task.id}", "bold"), self._bar()]
        if doing := task.doing():
            rows.append(Text(doing, style="red" if task.error is not None and task.ended else ""))
        if task.note:
            rows.append(Text(task.note, style="dim"))
        rows += self._steps(list(task.steps.values()), max(1, console.height - OTHER_ROWS))
        if self._notice:
            rows.append(_cut(self._notice, "yellow"))
        return Group(*rows)

    def _bar(self) -> RenderableType:
        task = self._task
        left = task.left_seconds(trio.current_time())
        style = STATUS_STYLES.get(task.status, "")
        cells = Table.grid(padding=(0, 1))
        cells.add_row(
            Text(task.status, style=style),
            ProgressBar(
                total=100.0,
                completed=task.progress,
                width=min(BAR_WIDTH, self._console.width // 2),
                complete_style=style,
                finished_style=style,
            ),
            percent(task.progress),
            "" if left is None else f"{duration(left)} left",
        )
        return cells

    def _steps(self, steps: Sequence[StepState], room: int) -> Iterable[RenderableType]:
        """Yield the steps that fit, around the first one that has not ended."""
        if not steps:
            return
        current = next((n for n, step in enumerate(steps) if step.status not in _OVER), len(steps) - 1)
        shown = window(len(steps), current, room)
        if shown.start:
            yield _cut(f"  {shown.start} steps before", "dim")
        marks = _ASCII_MARKS if self._console.options.ascii_only else _MARKS
        cells = Table.grid(padding=(0, 1))
        for _ in range(3):
            cells.add_column(no_wrap=True)
        cells.add_column()  # the only column that may be cut
        for step in steps[shown.start : shown.stop]:
            mark = Text("  " + marks.get(step.status, " "), style=STATUS_STYLES.get(step.status, ""))
            far = percent(step.progress) if step.status == "running" else ""
            cells.add_row(mark, Text(one_line(step.name)), far, _cut(step.error or step.message, ""))
        yield cells
        if shown.stop < len(steps):
            yield _cut(f"  {len(steps) - shown.stop} steps after", "dim")


def window(count: int, current: int, room: int) -> range:
    """Return the range of ``room`` lines out of ``count`` that has the current one."""
    first = max(0, min(current - room // 3, count - room))
    return range(first, min(first + room, count))


def _cut(text: str, style: str) -> Text:
    return Text(one_line(text), style=style, no_wrap=True, overflow="ellipsis")
