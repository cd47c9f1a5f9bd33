"""Log lines of tasks that have failed."""

import structlog

from .model import Task
from .operations import STALLED

_log = structlog.get_logger(__name__)


def log_failure(task: Task) -> None:
    """Log a task that has failed: ``task_stalled`` if its worker was lost, else ``task_failed``."""
    assert task.error is not None
    event = "task_stalled" if task.error.code == STALLED else "task_failed"
    _log.warning(
        event,
        task=task.id,
        kind=task.kind,
        worker=task.worker,
        step=task.step,
        code=task.error.code,
        detail=task.error.detail,
    )
