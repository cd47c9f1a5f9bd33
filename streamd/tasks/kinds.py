"""Kinds of work: what is known of all tasks of one kind."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import attrs

from .messages import standard
from .model import Message, Task

if TYPE_CHECKING:
    from .progress import Progress

Work = Callable[["Progress"], Awaitable[Any]]
"""What runs a task: it is given a handle to say how far it is, and returns the result, a JSON value."""

Present = Callable[[Task, Message], Message]
"""How a kind says its messages. It may run in another thread, and only looks at what it is given; the task's
input may not be there (null)."""


@attrs.frozen(kw_only=True)
class Kind:
    """One kind of work.

    Args:
        name: of the kind.
        work: runs its tasks in this process; None: workers elsewhere claim them over HTTP.
        timeout_seconds: how long a task may take from its making (s); None for ``tasks.timeout_seconds``.
        keep_seconds: how long it is kept after its end (s); None for ``tasks.keep_seconds``.
        max_kept: how many are kept (count); None for ``tasks.max_per_kind``.
        compress_results: whether results are stored compressed.
        present: gives its messages another shape.
        private: tasks of it are made by a program here alone, which checks their input; not over ``/tasks``.
    """

    name: str
    work: Work | None = None
    timeout_seconds: float | None = None
    keep_seconds: float | None = None
    max_kept: int | None = None
    compress_results: bool | None = None  # None: as configured
    present: Present = standard
    private: bool = False
