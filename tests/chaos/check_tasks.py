"""The checks of tasks: compute the violations of the histories of tasks, without any I/O.

===================  ===============================================================================
``task-twice``       retries of one creation make one task, and the server has no other task
``task-lost``        an acknowledged task is there
``task-end``         a task has one end, which somebody reported; the first acknowledged one stays
``versions``         a follower sees the versions one after the other; a snapshot replaces some
``progress``         the progress at a follower never falls
``ends``             a follower receives the end once, as the last message, and it is the task's
``text``             the text at a follower is that of the reports, each acknowledged one once
``follower``         a follower is told the end
``task-events``      the log has each version once, in order
===================  ===============================================================================
"""

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from typing import Final

from tests.chaos.history import Violation
from tests.chaos.task_history import FollowerHistory, TaskHistory

_END_TYPES: Final = ("complete", "error")
_CHUNK: Final = re.compile(r"<[^<>]*>")


def check_tasks(
    tasks: Iterable[TaskHistory], listed_ids: Iterable[str], known_ids: Container[str], *, durable: bool
) -> list[Violation]:
    """Return all violations of tasks that have ended.

    Args:
        tasks: the histories.
        listed_ids: the ids of all tasks that the server lists.
        known_ids: the ids of all answers to creations so far.
        durable: the log survives the end of a process.
    """
    found = [
        Violation("task-twice", f"the server has a task {id} that no answer named", token=f"tasks/{id}")
        for id in listed_ids
        if id not in known_ids
    ]
    for task in tasks:
        found += _check_task(task, durable=durable)
    return found


def _check_task(task: TaskHistory, *, durable: bool) -> Iterator[Violation]:
    if len(task.ids) > 1:
        yield _of(task, "task-twice", f"became the tasks {task.ids}")
    if task.final is None:
        yield _of(task, "task-lost", "was acknowledged and is not there")
        return
    yield from _check_end(task)
    for follower in task.followers:
        yield from _check_follower(task, follower, durable=durable)
    if task.watched is not None and durable:
        expected = list(range(1, task.final["version"] + 1))
        if task.watched != expected:
            text = f"has {task.final['version']} versions, and the log's events are of {task.watched}"
            yield _of(task, "task-events", text)


def _of(task: TaskHistory, kind: str, text: str) -> Violation:
    id = task.ids[0] if task.ids else "?"
    return Violation(kind, f"task {id} ({task.name}) {text}", token=f"tasks/{id}")


def _check_end(task: TaskHistory) -> Iterator[Violation]:
    assert task.final is not None
    status: str = task.final["status"]
    error: dict[str, str] = task.final.get("error") or {}
    possible = {end.status for end in task.ends if end.outcome != "refused"}
    if status not in possible:
        yield _of(task, "task-end", f"is {status} ({error}), and nobody reported that: {task.ends}")
    elif status == "failed" and error.get("code") != "chaos":
        yield _of(task, "task-end", f"failed as {error.get('code')!r}, which nobody reported")
    acknowledged = [end.status for end in task.ends if end.outcome == "acknowledged"]
    if acknowledged and acknowledged[0] != status:
        yield _of(task, "task-end", f"was acknowledged as {acknowledged[0]}, and is {status}")


def _check_follower(task: TaskHistory, follower: FollowerHistory, *, durable: bool) -> Iterator[Violation]:
    assert task.final is not None
    name = follower.name
    version, progress, text, snapshot = 0, 0.0, "", False
    for number, message in enumerate(follower.messages):
        data, is_end = message.data, message.type in _END_TYPES
        if data.get("snapshot"):
            right = data["version"] >= version
            snapshot, text = True, data["text"]
        else:
            # The end has the version of the snapshot before it when that is of the ended task.
            right = data["version"] == version + 1 or (is_end and snapshot and data["version"] == version)
            snapshot = False
            text += data.get("text_delta", "")
        if not right:
            story = "".join(f"\n    {seen}" for seen in follower.messages[: number + 3])
            yield _of(task, "versions", f"has version {data['version']} after {version} at {name}:{story}")
        if data["progress"] < progress:
            yield _of(task, "progress", f"fell from {progress} to {data['progress']} at {name}")
        after = [later.data["version"] for later in follower.messages[number + 1 :]]
        # The outbox publishes an event again if the process ended before that was recorded. A new log does
        # not know it, so a follower that was cut off just then receives the end again, with its snapshot.
        if is_end and [version for version in after if durable or version != data["version"]]:
            yield _of(task, "ends", f"ended at {name} and went on with the versions {after}")
        version, progress = data["version"], data["progress"]
    ends = [message for message in follower.messages if message.type in _END_TYPES]
    if not follower.finished or not ends:
        seen = "".join(f"\n    {message}" for message in follower.messages[-3:])
        told = "was told so" if follower.finished else "was not told so"
        text = f"did not end at {name}, which {told} and has the version {version} of {task.final['version']}"
        yield _of(task, "follower", f"{text}:{seen}")
        return
    last = ends[-1].data
    if (last["version"], last["status"]) != (task.final["version"], task.final["status"]):
        seen = f"{last['status']} in version {last['version']}"
        wanted = f"{task.final['status']} in version {task.final['version']}"
        yield _of(task, "ends", f"ended as {seen} at {name}, and is {wanted}")
    yield from _check_text(task, follower, text)


def _check_text(task: TaskHistory, follower: FollowerHistory, text: str) -> Iterator[Violation]:
    """Compare a follower's text with the reported chunks, of which unknown ones may be missing.

    A request whose connection was cut may take effect after a later one, so unknown chunks may be anywhere.
    """
    wanted = [chunk.text for chunk in task.chunks if chunk.outcome == "acknowledged"]
    maybe = {chunk.text for chunk in task.chunks if chunk.outcome == "unknown"}
    found = _CHUNK.findall(text)
    certain = [chunk for chunk in found if chunk not in maybe]
    repeated = [chunk for chunk, count in Counter(found).items() if count > 1]
    if certain != wanted or repeated or "".join(found) != text:
        detail = f"{text!r}; acknowledged: {wanted}, unknown: {sorted(maybe)}"
        yield _of(task, "text", f"has a wrong text at {follower.name}: {detail}")
