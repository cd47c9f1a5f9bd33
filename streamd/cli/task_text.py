"""Tasks as text for people: pure functions from the server's answers to lines.

No line has control characters, whatever the server sends, and no value breaks its line.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from ..client.tasks import TaskState
from .live import printable

STATUS_STYLES: Final = {
    "pending": "dim",
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "cancelled": "yellow",
    "skipped": "dim",
}
SHOWN_LINES_MAX: Final = 40  # the maximum length of a JSON value, which may have megabytes
SHOWN_CHARS_MAX: Final = 4000
_NOTHING: Final = "-"  # keeps a column from being empty
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400


def one_line(text: str) -> str:
    """Return text on one line, with control characters escaped."""
    return printable(" ".join(text.split()))


def percent(progress: float) -> str:
    """Return whole percent, rounded down: 100 means completed."""
    return f"{int(progress):3d} %"


def duration(seconds: float) -> str:
    """Return a duration such as ``12 s``, ``3 min`` or ``2 h 5 min``."""
    whole = max(0, round(seconds))
    if whole < 2 * _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def seconds_between(earlier: str | None, later: str | None) -> float | None:
    """Return the time between two RFC 3339 times (s); None if one of them is invalid."""
    try:
        return (datetime.fromisoformat(later or "") - datetime.fromisoformat(earlier or "")).total_seconds()
    except (ValueError, TypeError):
        return None


def doing(step: int | None, step_name: str, steps: int, message: str) -> str:
    """Return the current step and its message on one line, such as ``2/3 write: half of it``."""
    return one_line(": ".join(part for part in (_position(step, step_name, steps, "/"), message) if part))


def _position(step: int | None, step_name: str, steps: int, of: str) -> str:
    return step_name if step is None or step > steps else f"{step}{of}{steps} {step_name}"


# --- ls ---------------------------------------------------------------------------------------------


def columns(tasks: Sequence[TaskState]) -> str:
    """Format tasks as aligned columns of whole values, for a pipe."""
    rows: list[tuple[str, ...]] = [("ID", "KIND", "STATUS", "PROGRESS", "OWNER", "CREATED", "DOING")]
    for task in tasks:
        cells = (task.id, task.kind, task.status, percent(task.progress), task.owner, task.created_at or "")
        rows.append((*(one_line(cell) or _NOTHING for cell in cells), _doing(task) or _NOTHING))
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(_pad(cell, width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(line.rstrip() + "\n" for line in lines)


def table(tasks: Sequence[TaskState], now: datetime) -> Table:
    """Format tasks as a table for a terminal, which cuts long messages."""
    shown = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    owned = any(task.owner for task in tasks)
    for name in ("ID", "KIND", "STATUS"):
        shown.add_column(name, no_wrap=True)
    shown.add_column("PROGRESS", no_wrap=True, justify="right")
    shown.add_column("AGE", no_wrap=True, justify="right")
    if owned:
        shown.add_column("OWNER", no_wrap=True)
    shown.add_column("DOING")  # the only column that may be cut
    for task in tasks:
        status = one_line(task.status)
        age = seconds_between(task.created_at, now.astimezone(UTC).isoformat())
        shown.add_row(
            Text(one_line(task.id)),
            Text(one_line(task.kind)),
            Text(status, style=STATUS_STYLES.get(status, "")),
            percent(task.progress),
            duration(age) if age is not None else _NOTHING,
            *([Text(one_line(task.owner))] if owned else []),
            Text(_doing(task), no_wrap=True, overflow="ellipsis"),
        )
    return shown


def _doing(task: TaskState) -> str:
    if task.error is not None:
        return one_line(task.error.detail)
    if task.ended:
        return one_line(task.message)
    return doing(task.step, task.step_name, task.steps, task.message)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


# --- show -------------------------------------------------------------------------------------------


def description(task: TaskState, result: Any = msgspec.UNSET) -> str:
    """Format all fields of a task; long values are cut.

    Args:
        result: the result, a JSON value, if the task has one.
    """
    eta = None if task.eta_seconds is None or task.ended else duration(task.eta_seconds)
    took = seconds_between(task.started_at, task.ended_at)
    named = {
        "id": task.id,
        "kind": task.kind,
        "owner": task.owner,
        "status": task.status,
        "progress": percent(task.progress).strip(),
        "step": _position(task.step, task.step_name, task.steps, " of "),
        "message": task.message,
        "error": f"{task.error.detail} ({task.error.code})" if task.error else None,
        "left": eta,
        "worker": task.worker,
        "created": task.created_at,
        "started": task.started_at,
        "updated": task.updated_at,
        "ended": task.ended_at,
        "took": None if took is None else duration(took),
        "deadline": None if task.ended else task.deadline,
        "version": str(task.version),
    }
    lines = [f"{name:<9} {one_line(value)}" for name, value in named.items() if value]
    if task.step_list:
        lines += ["", "steps"]
        width = max(cell_len(one_line(step.name)) for step in task.step_list)
        for step in task.step_list:
            name = _pad(one_line(step.name), width)
            said = one_line(step.error or step.message)
            lines.append(f"  {one_line(step.status):<9} {percent(step.progress)}  {name}  {said}".rstrip())
    if task.details:
        lines += ["", "details", *_bounded(task.details)]
    if result is not msgspec.UNSET:
        lines += ["", "result", *_bounded(result)]
    return "".join(line + "\n" for line in lines)


def _bounded(value: Any) -> Iterable[str]:
    """Format a JSON value on a limited number of indented lines, with a note on the rest."""
    if isinstance(value, str):
        text = value
    else:
        text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    lines = text[:SHOWN_CHARS_MAX].splitlines()[:SHOWN_LINES_MAX]
    left_out = len(text) - sum(len(line) + 1 for line in lines)
    yield from (f"  {printable(line)}" for line in lines)
    if left_out > 0:
        yield f"  … {left_out} more characters; --json shows all"
