"""The standard message, the snapshot, and a task as JSON."""

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.tasks import Message, StepPlan, Task, make_message, operations, standard, task_fields
from streamd.tasks.messages import RESERVED_FIELDS, as_percent, make_snapshot
from tests.support.clocks import NOON, at
from tests.support.messages import STANDARD_FIELDS


@pytest.fixture
def task() -> Task:
    made = operations.create(
        id="t",
        kind="k",
        owner="o",
        now=NOON,
        timeout_seconds=60,
        steps=[StepPlan("a", 0.5), StepPlan("b", 0.25)],
    )
    started = operations.start(made.task, NOON, worker="w", lease="lease", lease_seconds=9)
    begun = operations.start_step(started.task, NOON + timedelta(seconds=1), "a", message="reading")
    return operations.update_step(
        begun.task, NOON + timedelta(seconds=2), "a", progress=12.34, fields={"lines": 7}
    ).task


def test_every_message_has_the_standard_fields_and_they_come_first(task: Task) -> None:
    message = make_message(task, "progress", found=3)
    assert list(message.data)[: len(STANDARD_FIELDS)] == [
        name for name in message.data if name in STANDARD_FIELDS
    ]
    assert message.data == {
        "taskId": "t",
        "version": 4,
        "status": "running",
        "step": 1,
        "step_name": "a",
        "steps": 2,
        "progress": 8.2,
        "message": "reading",
        "eta_seconds": task.eta_seconds,
        "timestamp": "2026-01-02T12:00:02.000Z",
        "found": 3,
    }
    assert set(message.data) - {"found"} == STANDARD_FIELDS <= RESERVED_FIELDS


def test_further_fields_never_replace_the_standard_ones(task: Task) -> None:
    assert make_message(task, "progress", version=99, status="completed").data == (
        make_message(task, "progress").data
    )


def test_a_snapshot_has_the_whole_current_state(task: Task) -> None:
    message = make_snapshot(task, "text so far")
    assert message.type == "status"
    assert message.data["snapshot"] is True
    assert message.data["text"] == "text so far"
    assert message.data["lines"] == 7
    assert (message.data["step"], message.data["step_name"], message.data["steps"]) == (1, "a", 2)
    assert message.data["step_list"] == [
        {
            "step": 1,
            "name": "a",
            "status": "running",
            "progress": 12.3,
            "weight": 0.5,
            "message": "reading",
            "error": "",
        },
        {
            "step": 2,
            "name": "b",
            "status": "pending",
            "progress": 0,
            "weight": 0.25,
            "message": "",
            "error": "",
        },
    ]
    assert message.data["deadline"] == "2026-01-02T12:01:00.000Z"
    assert message.data["created_at"] == message.data["started_at"] == "2026-01-02T12:00:00.000Z"
    assert message.data["ended_at"] is None
    assert "error" not in message.data


def test_the_snapshot_of_a_failed_task_has_the_reason(task: Task) -> None:
    failed = operations.fail(task, at(3), code="no-data", detail="nothing was found").task
    data = make_snapshot(failed, "").data
    assert (data["error"], data["code"], data["status"]) == ("nothing was found", "no-data", "failed")
    assert data["ended_at"] == "2026-01-02T12:00:03.000Z"


def test_a_task_as_json_shows_neither_its_lease_nor_its_input(task: Task) -> None:
    fields = task_fields(task)
    assert msgspec.json.decode(msgspec.json.encode(fields)) == fields
    text = msgspec.json.encode(fields).decode()
    assert "lease" not in text
    assert "secret" not in text
    assert (fields["id"], fields["kind"], fields["owner"], fields["worker"]) == ("t", "k", "o", "w")
    assert (fields["error"], fields["has_result"], fields["version"]) == (None, False, 4)
    failed = operations.fail(task, NOON, code="c", detail="why").task
    assert task_fields(failed)["error"] == {"code": "c", "detail": "why"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (12.39, "12.3"),
        (50.0, "50"),
        (100 * 0.29, "29"),  # 28.999999999999996
        (99.96, "99.9"),
        (99.99999999999999, "99.9"),
        (100.0, "100"),
    ],
)
def test_percentages_are_rounded_down_to_one_decimal(value: float, shown: str) -> None:
    assert str(as_percent(value)) == shown


@given(st.floats(0, 100))
def test_a_percentage_is_shown_within_a_tenth_and_as_100_only_if_it_is(value: float) -> None:
    shown = as_percent(value)
    assert value - 0.1 <= shown <= value + 1e-6
    assert (shown == 100) is (value == 100)
    assert len(str(shown)) <= len("99.9")


def test_the_standard_presentation_is_the_message_on_the_own_topic(task: Task) -> None:
    message = Message("progress", {"x": 1})
    [publication] = standard(task, message)
    assert (publication.topics, publication.message) == (("tasks/t",), message)
    assert publication.message is message
