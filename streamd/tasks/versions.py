"""The next version of a task: its number, its time and its estimated end.

Pure functions, which never read a clock: ``now`` is steady time (:mod:`streamd.clock`).
"""

from datetime import datetime, timedelta
from typing import Any, Final

import attrs

from .model import Task

_TENTH: Final = timedelta(seconds=0.1)


def next_version(task: Task, now: datetime, **changes: Any) -> Task:
    """Build the version that follows a task's current one.

    Args:
        task: the task.
        now: steady time.
        changes: the fields that differ, but for the version, its time and the estimate of the end.
    """
    changed = attrs.evolve(task, version=task.version + 1, updated_at=stamp(task, now), **changes)
    if changed.progress > task.progress and changed.started_at is not None:
        changed = attrs.evolve(changed, eta=_estimate_end(changed, now))
    return attrs.evolve(changed, eta_seconds=_eta_seconds(changed, now))


def stamp(task: Task, now: datetime) -> datetime:
    """Return the time to show for an operation; it is never before that of the operation before."""
    return max(task.updated_at, task.at(now))


def _estimate_end(task: Task, now: datetime) -> datetime | None:
    """Estimate the end of a task in steady time, at its average rate so far, but not after its deadline."""
    elapsed_seconds = task.running_seconds(now)
    if elapsed_seconds <= 0:
        return None  # the rate is unknown
    left_seconds = elapsed_seconds * (100.0 - task.progress) / task.progress
    return now + timedelta(seconds=min(left_seconds, (task.deadline - task.at(now)).total_seconds()))


def _eta_seconds(task: Task, now: datetime) -> float | None:
    """Return the estimated time to the end in tenths (s): more than 0, and at most the time to the deadline.

    None if it is unknown: before any progress, and after the estimate has passed.
    """
    if task.eta is None:
        return None
    # The estimate is rounded up, its bound down.
    tenths = min(-((now - task.eta) // _TENTH), (task.deadline - task.updated_at) // _TENTH)
    return tenths / 10 if tenths > 0 else None
