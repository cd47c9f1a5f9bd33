"""The state of a followed task: the server's answer, updated by the task's messages."""

from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from ..client.tasks import ENDED, STATUSES, StepState, TaskFailure, TaskState
from ..errors import InvalidBody
from ..json import decode_message
from .task_text import doing, duration, one_line, percent

NOTE_CHARS_MAX = 1000
_NUMBER_MAX = 1e9


@attrs.define(eq=False)
class FollowedTask:
    """The state of a task as its follower knows it.

    Kinds may present messages of any shape. So every field is optional, and an invalid value is ignored.
    """

    id: str
    kind: str = ""
    status: str = "pending"
    progress: float = 0.0  # 0 to 100; never falls
    step_name: str = ""
    message: str = ""
    steps: dict[str, StepState] = attrs.field(factory=dict)  # by name, in their order
    eta_seconds: float | None = None  # at `eta_at`
    eta_at: float = 0.0  # by the caller's clock (s)
    error: TaskFailure | None = None
    note: str = ""  # educational content, to read while waiting
    text_chars: int = 0  # the length of the text so far

    @property
    def ended(self) -> bool:
        """True if the last known status is an end."""
        return self.status in ENDED

    def take_task(self, task: TaskState, now: float) -> None:
        """Take over the server's state of the task.

        Args:
            now: the caller's clock (s).
        """
        if not (self.ended and task.status == self.status):
            # Otherwise the last message has the same content in the words of its kind.
            self.step_name, self.message = task.step_name, task.message
        self.id, self.kind, self.status, self.error = task.id, task.kind, task.status, task.error
        self.progress = max(self.progress, min(task.progress, 100.0))
        self.steps = {step.name: step for step in task.step_list}
        self._take_eta(task.eta_seconds, now)

    def take_message(self, data: str | bytes, now: float) -> str:
        """Update the state by a message of the task.

        Args:
            data: the message; anything but a JSON object is ignored.
            now: the caller's clock (s).

        Returns:
            The new part of the task's text.
        """
        try:
            fields: dict[str, Any] = decode_message(data, dict[str, Any])
        except InvalidBody:
            return ""
        if (status := _text(fields, "status")) in STATUSES:
            self.status = status
        progress = _number(fields, "progress")
        if progress is not None:
            self.progress = max(self.progress, min(progress, 100.0))
        self.step_name = _step_name(fields) or self.step_name
        self.message = _text(fields, "message") or self.message
        if "eta_seconds" in fields:
            self._take_eta(_number(fields, "eta_seconds"), now)
        if error := _text(fields, "error"):
            self.error = TaskFailure(_text(fields, "code"), error)
        self._take_steps(fields)
        self._take_note(fields)
        return self._take_text(fields)

    def left_seconds(self, now: float) -> float | None:
        """Return the estimated time left (s); None without an estimate, or after it."""
        if self.eta_seconds is None or self.ended:
            return None
        left = self.eta_seconds - (now - self.eta_at)
        return left if left >= 1.0 else None

    def doing(self) -> str:
        """Return the current step and message, or the error, on one line."""
        if self.error is not None and self.status != "completed":
            code = f" ({self.error.code})" if self.error.code else ""
            return one_line(self.error.detail + code)
        if self.ended:
            return one_line(self.message)
        number = next((n for n, name in enumerate(self.steps, 1) if name == self.step_name), None)
        return doing(number, self.step_name, len(self.steps), self.message)

    def line(self, now: float) -> str:
        """Return the state on one line, without the note."""
        left = self.left_seconds(now)
        parts = [f"{one_line(self.status):<9} {percent(self.progress)}", self.doing()]
        if left is not None:
            parts.append(f"({duration(left)} left)")
        return "  ".join(part for part in parts if part)

    def _take_eta(self, seconds: float | None, now: float) -> None:
        self.eta_seconds, self.eta_at = seconds, now

    def _take_steps(self, fields: Mapping[str, Any]) -> None:
        if "step_list" in fields:
            try:
                steps = msgspec.convert(fields["step_list"], tuple[StepState, ...])
            except msgspec.ValidationError:
                return
            self.steps = {step.name: step for step in steps}
        name, status = _step_name(fields), _text(fields, "step_status")
        if name and status:
            self.steps[name] = StepState(
                name,
                status=status,
                progress=_number(fields, "step_progress") or 0.0,
                message=_text(fields, "message"),
                error=_text(fields, "step_error"),
            )

    def _take_note(self, fields: Mapping[str, Any]) -> None:
        content = fields.get("educational_content")
        if content is not None and not fields.get("snapshot"):
            text = content if isinstance(content, str) else msgspec.json.encode(content).decode()
            self.note = one_line(text[:NOTE_CHARS_MAX])

    def _take_text(self, fields: Mapping[str, Any]) -> str:
        # A snapshot repeats the whole text, which only grows.
        new = _text(fields, "text")[self.text_chars :] if fields.get("snapshot") is True else ""
        new = new or _text(fields, "text_delta")
        self.text_chars += len(new)
        return new


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _step_name(fields: Mapping[str, Any]) -> str:
    return _text(fields, "step_name") or _text(fields, "stage")  # the word of the brand monitor


def _number(fields: Mapping[str, Any], name: str) -> float | None:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _NUMBER_MAX:
        return None
    return float(value)
