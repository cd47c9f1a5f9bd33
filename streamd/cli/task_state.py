"""What is known of a task that is followed: the server's answer, and over it what its messages say."""

from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from ..client.tasks import ENDED, STATUSES, StepState, TaskFailure, TaskState
from ..errors import InvalidBody
from ..events.bodies import decode_json
from .task_text import doing, duration, one_line, percent

NOTE_CHARS_MAX = 1000
_NUMBER_MAX = 1e9


@attrs.define(eq=False)
class FollowedTask:
    """A task as its follower knows it.

    Kinds may present their messages in a shape of their own, so nothing is expected of one: a field that is
    there and makes sense is taken, every other is passed over.
    """

    id: str
    kind: str = ""
    status: str = "pending"
    progress: float = 0.0  # 0 to 100; never falls
    stage: str = ""
    message: str = ""
    steps: dict[str, StepState] = attrs.field(factory=dict)  # by name, in their order
    eta_seconds: float | None = None  # at `eta_at`
    eta_at: float = 0.0  # by the clock of whoever calls
    error: TaskFailure | None = None
    note: str = ""  # something to read while one waits
    text_chars: int = 0  # of its text, how much has come

    @property
    def ended(self) -> bool:
        """Whether it has ended, as far as one knows."""
        return self.status in ENDED

    def take_task(self, task: TaskState, now: float) -> None:
        """The server says how the task stands.

        Args:
            now: by the caller's clock (s).
        """
        if not (self.ended and task.status == self.status):
            # Else its last message has said so already, in the words of its kind.
            self.stage, self.message = task.stage, task.message
        self.id, self.kind, self.status, self.error = task.id, task.kind, task.status, task.error
        self.progress = max(self.progress, min(task.progress, 100.0))
        self.steps = {step.name: step for step in task.steps}
        self._take_eta(task.eta_seconds, now)

    def take_message(self, data: str, now: float) -> str:
        """Something happened to the task.

        Args:
            data: of the message, a JSON object if it is one we can read.
            now: by the caller's clock (s).

        Returns:
            What the task's text is longer by.
        """
        try:
            fields: dict[str, Any] = decode_json(data, dict[str, Any])
        except InvalidBody:
            return ""
        if (status := _text(fields, "status")) in STATUSES:
            self.status = status
        progress = _number(fields, "progress")
        if progress is not None:
            self.progress = max(self.progress, min(progress, 100.0))
        self.stage = _text(fields, "stage") or _text(fields, "step") or self.stage
        self.message = _text(fields, "message") or self.message
        if "eta_seconds" in fields:
            self._take_eta(_number(fields, "eta_seconds"), now)
        if error := _text(fields, "error"):
            self.error = TaskFailure(_text(fields, "code"), error)
        self._take_steps(fields)
        self._take_note(fields)
        return self._take_text(fields)

    def left_seconds(self, now: float) -> float | None:
        """How long it may still take, when that is known; it was wrong when that is over."""
        if self.eta_seconds is None or self.ended:
            return None
        left = self.eta_seconds - (now - self.eta_at)
        return left if left >= 1.0 else None

    def doing(self) -> str:
        """What is being done, or why it ended, as one line."""
        if self.error is not None and self.status != "completed":
            code = f" ({self.error.code})" if self.error.code else ""
            return one_line(self.error.detail + code)
        return doing(self.stage, self.message)

    def line(self, now: float) -> str:
        """All of it on one line, but the note."""
        left = self.left_seconds(now)
        parts = [f"{one_line(self.status):<9} {percent(self.progress)}", self.doing()]
        if left is not None:
            parts.append(f"({duration(left)} left)")
        return "  ".join(part for part in parts if part)

    def _take_eta(self, seconds: float | None, now: float) -> None:
        self.eta_seconds, self.eta_at = seconds, now

    def _take_steps(self, fields: Mapping[str, Any]) -> None:
        if "steps" in fields:
            try:
                steps = msgspec.convert(fields["steps"], tuple[StepState, ...])
            except msgspec.ValidationError:
                return
            self.steps = {step.name: step for step in steps}
        name, status = _text(fields, "step"), _text(fields, "step_status")
        if name and status:
            progress = _number(fields, "step_progress")
            self.steps[name] = StepState(
                name,
                status,
                progress if progress is not None else 0.0,
                _text(fields, "message"),
                _text(fields, "step_error"),
            )

    def _take_note(self, fields: Mapping[str, Any]) -> None:
        content = fields.get("educational_content")
        if content is not None and not fields.get("snapshot"):
            text = content if isinstance(content, str) else msgspec.json.encode(content).decode()
            self.note = one_line(text[:NOTE_CHARS_MAX])

    def _take_text(self, fields: Mapping[str, Any]) -> str:
        # A snapshot has all of the text again; it only ever grows.
        new = _text(fields, "text")[self.text_chars :] if fields.get("snapshot") is True else ""
        new = new or _text(fields, "text_delta")
        self.text_chars += len(new)
        return new


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _number(fields: Mapping[str, Any], name: str) -> float | None:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _NUMBER_MAX:
        return None
    return float(value)
