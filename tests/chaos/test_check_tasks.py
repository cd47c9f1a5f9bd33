"""The checks of tasks, on histories made by hand: each kind of violation, and its lawful neighbours."""

from typing import Any

import pytest

from tests.chaos.check_tasks import check_tasks
from tests.chaos.task_history import Chunk, EndAttempt, FollowerHistory, TaskHistory, TaskMessage


def message(type: str, version: int, **data: Any) -> TaskMessage:
    return TaskMessage(type, {"version": version, "progress": 0, "status": "running", **data})


def end(version: int, status: str = "completed", **data: Any) -> TaskMessage:
    type = "complete" if status == "completed" else "error"
    return message(type, version, status=status, **{"progress": 100, **data})


def snapshot(version: int, text: str = "", **data: Any) -> TaskMessage:
    return message("status", version, snapshot=True, text=text, **data)


def completed(*messages: TaskMessage, chunks: tuple[Chunk, ...] = ()) -> TaskHistory:
    """Return a task that was completed in version 3, with one follower."""
    return TaskHistory(
        "t",
        ["1"],
        list(chunks),
        [EndAttempt("completed", "acknowledged")],
        [FollowerHistory("f", list(messages), finished=True)],
        {"version": 3, "status": "completed", "error": None},
        [1, 2, 3],
    )


WHOLE = (snapshot(1), message("progress", 2), end(3))


def kinds(task: TaskHistory, *listed: str, durable: bool = True) -> list[str]:
    return [v.kind for v in check_tasks([task], ["1", *listed], task.ids, durable=durable)]


def test_task_from_creation_to_end_passes() -> None:
    assert kinds(completed(*WHOLE)) == []
    assert kinds(completed(snapshot(3, status="completed"), end(3))) == []
    assert kinds(completed(snapshot(1), snapshot(2), end(3))) == []


def test_retried_creation_makes_one_task() -> None:
    task = completed(*WHOLE)
    task.ids.append("2")
    assert kinds(task) == ["task-twice"]
    assert kinds(completed(*WHOLE), "9") == ["task-twice"]


def test_acknowledged_task_is_there() -> None:
    task = completed(*WHOLE)
    task.final = None
    assert kinds(task) == ["task-lost"]


@pytest.mark.parametrize(
    ("attempts", "final"),
    [
        ([], {"status": "completed"}),
        ([EndAttempt("failed", "refused")], {"status": "failed", "error": {"code": "chaos"}}),
        ([EndAttempt("failed", "acknowledged")], {"status": "failed", "error": {"code": "stalled"}}),
        (
            [EndAttempt("failed", "acknowledged"), EndAttempt("completed", "unknown")],
            {"status": "completed"},
        ),
    ],
)
def test_end_that_nobody_reported_is_found(attempts: list[EndAttempt], final: dict[str, Any]) -> None:
    task = completed()
    task.ends, task.final, task.followers = attempts, {"version": 3, **final}, []
    assert kinds(task) == ["task-end"]


def test_unknown_attempt_may_have_ended_the_task() -> None:
    task = completed(*WHOLE)
    task.ends = [EndAttempt("completed", "unknown"), EndAttempt("completed", "refused")]
    assert kinds(task) == []


@pytest.mark.parametrize(
    "messages",
    [
        (snapshot(1), end(3)),
        (snapshot(1), message("progress", 2), message("progress", 2), end(3)),
        (snapshot(2), snapshot(1), message("progress", 2), end(3)),
        (snapshot(1), message("progress", 2), message("progress", 3), end(3)),
    ],
)
def test_follower_sees_each_version_once(messages: tuple[TaskMessage, ...]) -> None:
    assert kinds(completed(*messages)) == ["versions"]


def test_progress_never_falls() -> None:
    assert kinds(completed(snapshot(1, progress=2), message("progress", 2, progress=1), end(3))) == [
        "progress"
    ]


def test_nothing_follows_the_end() -> None:
    assert "ends" in kinds(completed(*WHOLE, end(4)))


def test_new_log_may_repeat_the_end_with_its_snapshot() -> None:
    task = completed(*WHOLE, snapshot(3, status="completed"), end(3))
    task.followers[0].messages[3].data["progress"] = 100
    assert kinds(task, durable=False) == []
    assert kinds(task) == ["ends"]


def test_end_at_the_follower_is_that_of_the_task() -> None:
    assert kinds(completed(*WHOLE[:2], end(3, "failed"))) == ["ends"]


def test_follower_is_told_the_end() -> None:
    task = completed(*WHOLE[:2])
    assert kinds(task) == ["follower"]
    task = completed(*WHOLE)
    task.followers[0].finished = False
    assert kinds(task) == ["follower"]


@pytest.mark.parametrize(
    ("text", "chunks", "is_right"),
    [
        ("<1><2>", "a1 a2", True),
        ("<1>", "a1 u2", True),
        ("<1><3><2>", "a1 u2 a3", True),
        ("<2><1>", "a1 a2", False),
        ("<1>", "a1 a2", False),
        ("<1><1>", "a1", False),
        ("<1><2><2>", "a1 u2", False),
        ("<1><2>", "a1 r2", False),
        ("<1>!", "a1", False),
    ],
)
def test_text_is_that_of_the_reports(text: str, chunks: str, is_right: bool) -> None:
    outcomes: dict[str, Any] = {"a": "acknowledged", "u": "unknown", "r": "refused"}
    reported = tuple(Chunk(f"<{name[1]}>", outcomes[name[0]]) for name in chunks.split())
    followed = (snapshot(1, text=text[:3]), message("progress", 2, text_delta=text[3:]), end(3))
    assert kinds(completed(*followed, chunks=reported)) == ([] if is_right else ["text"])


@pytest.mark.parametrize("watched", [[1, 3], [1, 2, 2, 3], [1, 3, 2], [1, 2]])
def test_log_that_survives_has_each_version_once(watched: list[int]) -> None:
    task = completed(*WHOLE)
    task.watched = watched
    assert kinds(task) == ["task-events"]
    assert kinds(task, durable=False) == []
