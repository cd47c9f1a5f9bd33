"""Checks of a task's values: syntax and limits. Each error names the field."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ..characters import check_text, quoted
from ..errors import InvalidField, TooLarge
from ..events.event import validate_type
from ..json import encode_json
from .messages import EVENT_TYPE_BYTES_MAX, RESERVED_FIELDS
from .model import StepPlan, Task
from .sentences import check_step_name
from .settings import TaskSettings

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
_KIND: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OWNER_CHARS_MAX: Final = 256
_WEIGHT_MAX: Final = 1_000_000  # keeps the sum of weights far from the limits of a float


def check_kind(kind: str) -> str:
    """Check the name of a kind, and return it."""
    if not _KIND.fullmatch(kind):
        raise InvalidField(
            "a kind is 1 to 64 letters, digits, dots, dashes or underscores, and does not begin with one of"
            " the latter three",
            field="kind",
        )
    return kind


def check_event_types(types: Mapping[str, str]) -> None:
    """Check the event types by which a kind replaces the standard ones."""
    for standard, type in types.items():
        field = f"event_types[{quoted(standard)}]"
        try:
            size = len(validate_type(type).encode())
        except InvalidField as error:
            raise InvalidField(f"{field}: {error.detail}", field=field) from error
        if size > EVENT_TYPE_BYTES_MAX:
            raise InvalidField(f"{field} may have at most {EVENT_TYPE_BYTES_MAX} bytes", field=field)


def check_id(id: str) -> str:
    """Check the id that a caller chose for a task, and return it."""
    if not _ID.fullmatch(id):
        raise InvalidField(
            "a task's id is 1 to 128 letters, digits, dots, dashes, underscores or tildes, and begins with a"
            " letter or a digit",
            field="id",
        )
    return id


def check_owner(owner: str) -> str:
    """Check the owner of a task, and return it."""
    return check_text(owner, "owner", max_chars=_OWNER_CHARS_MAX) if owner else owner


def check_steps(steps: Sequence[StepPlan], maximum: int) -> Sequence[StepPlan]:
    """Check the number and the names of planned steps, and return them."""
    if len(steps) > maximum:
        raise TooLarge(f"a task may have at most {maximum} steps", field="steps")
    names = [step.name for step in steps]
    for index, name in enumerate(names):
        check_step_name(name, f"steps[{index}].name")
        if name in names[:index]:
            raise InvalidField(f"two steps are called {quoted(name)}", field=f"steps[{index}].name")
    return steps


def copy_fields(fields: Mapping[str, Any] | None) -> dict[str, Any]:
    """Check the further fields of a message, and return a copy, because the work may go on changing them."""
    if not fields:
        return {}
    if taken := RESERVED_FIELDS.intersection(fields):
        raise InvalidField(f"{quoted(min(taken))} is one of the message's own fields", field=min(taken))
    return msgspec.json.decode(encode_json(fields, "fields"), type=dict[str, Any])


def check_percent(value: object) -> float:
    """Check a progress, and return it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise InvalidField(f"progress must be a number from 0 to 100, got {quoted(value)}", field="progress")
    return float(value)


def check_weight(value: object) -> float:
    """Check the weight of a step, and return it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _WEIGHT_MAX:
        raise InvalidField(
            f"a weight must be more than 0 and at most a million, got {quoted(value)}", field="weight"
        )
    return float(value)


def check_timeout(seconds: float, settings: TaskSettings) -> float:
    """Check the timeout of a task (s), and return it."""
    if not 0 < seconds <= settings.max_timeout_seconds:
        raise InvalidField(
            f"timeout_seconds must be more than 0 and at most {settings.max_timeout_seconds:g}",
            field="timeout_seconds",
        )
    return seconds


def check_lease_seconds(asked: float | None, settings: TaskSettings) -> float:
    """Check the duration of a lease (s), and return it; None stands for ``tasks.lease_seconds``."""
    if asked is None:
        return settings.lease_seconds
    if not 0 < asked <= settings.max_lease_seconds:
        raise InvalidField(
            f"lease_seconds must be more than 0 and at most {settings.max_lease_seconds:g}",
            field="lease_seconds",
        )
    return asked


def encode_value(value: Any, field: str, max_bytes: int) -> bytes:
    """Encode a value as JSON.

    Raises:
        InvalidField: it is no JSON value, or not within the profile of :mod:`streamd.json`.
        TooLarge: it exceeds ``max_bytes``.
    """
    raw = encode_json(value, field)
    if len(raw) > max_bytes:
        raise TooLarge(f"{field} may have at most {max_bytes} bytes as JSON", field=field)
    return raw


def check_size(before: Task, task: Task, settings: TaskSettings) -> None:
    """Check a task's text, steps and details against their limits.

    A task beyond a limit that was lowered may not grow further, and can do everything else, such as end.

    Args:
        before: the task before the change; details that did not change are not measured again.
        task: the task after the change.
        settings: the limits.

    Raises:
        TooLarge: a limit is exceeded.
    """
    if task.text_bytes > max(before.text_bytes, settings.max_text_bytes):
        raise TooLarge(f"a task may stream at most {settings.max_text_bytes} bytes of text", field="text")
    if len(task.steps) > max(len(before.steps), settings.max_steps):
        raise TooLarge(f"a task may have at most {settings.max_steps} steps", field="step")
    if task.details is not before.details:
        size, maximum = _json_bytes(task.details), settings.max_details_bytes
        if size > maximum and size > _json_bytes(before.details):
            raise TooLarge(f"fields may have at most {maximum} bytes as JSON", field="fields")


def _json_bytes(details: Mapping[str, Any]) -> int:
    """Measure details, each of which was checked when it was reported."""
    return len(msgspec.json.encode(details))
