"""The state of a followed task after any messages, and its lines of text."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.characters import find_invalid
from streamd.cli.task_screen import window
from streamd.cli.task_state import FollowedTask
from streamd.cli.task_text import columns, description, duration, one_line, percent, seconds_between
from streamd.client.tasks import ENDED, STATUSES, TaskState
from streamd.tasks import Status
from tests.support.odd_texts import VALID_IDENTIFIERS

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(
    [
        "status",
        "progress",
        "stage",
        "step",
        "step_name",
        "step_list",
        "message",
        "eta_seconds",
        "error",
        "code",
        "steps",
        "step_status",
        "step_progress",
        "step_error",
        "snapshot",
        "text",
        "text_delta",
        "educational_content",
    ]
)
messages = st.dictionaries(names, values)


def encode(fields: dict[str, Any]) -> str:
    return msgspec.json.encode(fields).decode()


def test_the_statuses_are_those_of_the_server() -> None:
    assert tuple(Status) == STATUSES
    assert {status for status in Status if status.ended} == ENDED


@given(st.lists(messages | st.text(), max_size=5))
def test_any_message_is_accepted_and_no_line_has_escape_sequences(said: list[dict[str, Any] | str]) -> None:
    task = FollowedTask("a")
    reached = 0.0
    for message in said:
        data = message if isinstance(message, str) else encode(message)
        assert isinstance(task.take_message(data, 0.0), str)
        assert reached <= task.progress <= 100
        reached = task.progress
        assert task.status in STATUSES
        assert find_invalid(task.line(0.0)) is None
        assert find_invalid(task.note) is None


@given(st.text(), st.text(), st.text(), values)
def test_no_table_or_description_has_escape_sequences(a: str, b: str, c: str, details: Any) -> None:
    fields: dict[str, Any] = {"id": a, "kind": b, "status": c, "message": b, "created_at": c}
    fields |= {"step": 1, "step_name": a, "steps": 2}
    fields["error"] = {"code": c, "detail": b} if a else None
    fields["step_list"] = [{"name": a, "status": b, "message": c}]
    task = msgspec.convert(fields, TaskState)
    assert columns([task, task]).count("\n") == 3
    for text in (columns([task]), description(task, details)):
        assert find_invalid(text.replace("\n", "").replace("\t", "")) is None


def test_messages_update_the_state() -> None:
    task = FollowedTask("a")
    steps = [{"name": "plan", "status": "completed", "progress": 100}, {"name": "write"}]
    snapshot = {"snapshot": True, "status": "running", "progress": 40, "step_list": steps, "text": "one "}
    assert task.take_message(encode(snapshot), 0.0) == "one "
    step = {"step_name": "write", "step_status": "failed", "step_progress": 10, "step_error": "no ink"}
    more = {"step": 2, "message": "writing", "eta_seconds": 30, "text_delta": "two ", "progress": 30}
    assert task.take_message(encode(step | more), 10.0) == "two "
    assert list(task.steps) == ["plan", "write"]
    assert (task.steps["write"].status, task.steps["write"].error) == ("failed", "no ink")
    assert task.line(15.0) == "running    40 %  2/2 write: writing  (25 s left)"
    assert task.left_seconds(40.5) is None  # the estimate was wrong
    # After a gap, a snapshot repeats the whole text.
    assert task.take_message(encode(snapshot | {"text": "one two three"}), 20.0) == "three"
    ended = {"status": "failed", "error": "no paper", "code": "paper"}
    assert task.take_message(encode(ended), 30.0) == ""
    assert task.line(30.0) == "failed     40 %  no paper (paper)"


def test_a_step_of_another_shape_or_name_is_shown_without_a_number() -> None:
    task = FollowedTask("a", status="running")
    task.take_message(encode({"step": 7, "step_name": "tidying"}), 0.0)
    assert task.line(0.0) == "running     0 %  tidying"
    task.take_message(encode({"stage": "terms", "steps": [{"dataset": "a"}]}), 0.0)
    assert task.line(0.0) == "running     0 %  terms"
    task.take_message(encode({"status": "completed", "message": "The task is complete"}), 0.0)
    assert task.line(0.0) == "completed   0 %  The task is complete"


def test_invalid_fields_are_ignored() -> None:
    task = FollowedTask("a", status="running", progress=5, message="on it")
    odd = {"status": "sleeping", "progress": "9", "message": 7, "eta_seconds": -1, "step": 3}
    odd |= {"step_list": [{"n": 1}], "text": "of no snapshot", "error": {"a": 1}}
    assert task.take_message(encode(odd), 0.0) == ""
    assert task.take_message('{"progress": 1e400}', 0.0) == ""
    assert task.take_message("[1]", 0.0) == ""
    assert task.line(0.0) == "running     5 %  on it"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (3599, "59 min"),
        (7500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_have_at_most_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_percent_is_100_only_when_it_is_reached() -> None:
    assert [percent(progress) for progress in (0, 9.99, 99.99, 100)] == ["  0 %", "  9 %", " 99 %", "100 %"]


def test_one_line_joins_lines_and_escapes_control_characters() -> None:
    assert one_line(" a\n\tb\x1b[1m \u202e ") == r"a b\x1b[1m \u202e"
    assert one_line("\r\x9b\x7f\u2028\u2066\ud800") == r"\x9b\x7f \u2066\ud800"


@pytest.mark.parametrize("text", VALID_IDENTIFIERS)
def test_one_line_shows_joiners_and_other_scripts_as_they_are(text: str) -> None:
    assert one_line(text) == " ".join(text.split())


def test_an_invalid_time_has_no_distance() -> None:
    assert seconds_between("2026-01-01T00:00:00.000Z", "2026-01-01T00:00:01.500Z") == 1.5
    for moment in (None, "", "soon", "2026-01-01T00:00:00"):
        assert seconds_between("2026-01-01T00:00:00.000Z", moment) is None


@given(st.integers(1, 200), st.data())
def test_the_current_step_is_always_in_the_window(count: int, data: st.DataObject) -> None:
    current = data.draw(st.integers(0, count - 1))
    room = data.draw(st.integers(1, 40))
    shown = window(count, current, room)
    assert current in shown
    assert len(shown) == min(room, count)
    assert shown.start >= 0
    assert shown.stop <= count
