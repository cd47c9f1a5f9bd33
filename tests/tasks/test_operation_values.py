"""The values that operations on a task accept, and reject by the field's name."""

from collections.abc import Callable
from typing import Any

import pytest

from streamd.errors import InvalidField
from streamd.tasks import StepPlan, StepStatus, operations
from streamd.tasks.messages import RESERVED_FIELDS
from tests.support.clocks import NOON
from tests.support.odd_texts import INVALID_IDENTIFIERS, INVALID_TEXTS, VALID_IDENTIFIERS, VALID_TEXTS
from tests.support.task_operations import create, running, with_running_step

NOT_A_PERCENTAGE = [-0.1, 100.1, float("nan"), float("inf"), "50", True]


def check_rejected(field: str, operation: Callable[[], object]) -> None:
    """Check that an operation is rejected with the field's name."""
    with pytest.raises(InvalidField) as caught:
        operation()
    assert caught.value.field == field


@pytest.mark.parametrize("figure", NOT_A_PERCENTAGE)
def test_progress_is_a_number_from_0_to_100(figure: Any) -> None:
    check_rejected("progress", lambda: operations.update(running(), NOON, progress=figure))
    task = with_running_step()
    check_rejected("progress", lambda: operations.update_step(task, NOON, "a", progress=figure))


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf"), 1_000_001, "1", True])
def test_a_weight_is_a_positive_number(weight: Any) -> None:
    check_rejected("weight", lambda: create(steps=[StepPlan("a", weight)]))
    check_rejected("weight", lambda: operations.start_step(running(), NOON, "a", weight=weight))


@pytest.mark.parametrize("text", ["x" * 2001, "\ud800", 5, b"bytes", *INVALID_TEXTS])
def test_sentences_are_printable_text_of_limited_length(text: Any) -> None:
    one, step = running(), with_running_step()
    check_rejected("message", lambda: create(message=text))
    check_rejected("message", lambda: operations.update(one, NOON, message=text))
    check_rejected("step_name", lambda: operations.update(one, NOON, step=text))
    check_rejected("step", lambda: operations.start_step(one, NOON, text))
    check_rejected("message", lambda: operations.start_step(one, NOON, "a", message=text))
    check_rejected("message", lambda: operations.update_step(step, NOON, "a", message=text))
    check_rejected("message", lambda: operations.end_step(step, NOON, "a", StepStatus.SKIPPED, message=text))
    check_rejected("error", lambda: operations.end_step(step, NOON, "a", StepStatus.FAILED, error=text))
    check_rejected("message", lambda: operations.complete(one, NOON, result=b"1", message=text))
    check_rejected("error", lambda: operations.fail(one, NOON, code="failed", detail=text))
    check_rejected("message", lambda: operations.cancel(one, NOON, detail=text))


@pytest.mark.parametrize("text", ["\udfff", 5, b"bytes", *INVALID_TEXTS])
def test_streamed_text_is_printable_text(text: Any) -> None:
    check_rejected("text", lambda: operations.update(running(), NOON, text=text))


@pytest.mark.parametrize("text", VALID_TEXTS)
def test_any_text_is_a_message_an_error_and_streamed_text(text: str) -> None:
    change = operations.update(running(), NOON, message=text, text=text)
    assert (change.task.message, change.text) == (text, text)
    change = operations.end_step(with_running_step(), NOON, "a", StepStatus.FAILED, error=f"{text}!")
    assert change.task.steps[0].error == f"{text}!"


@pytest.mark.parametrize("name", INVALID_IDENTIFIERS)
def test_the_name_of_what_is_done_is_an_identifier(name: str) -> None:
    check_rejected("step_name", lambda: operations.update(running(), NOON, step=name))


@pytest.mark.parametrize("name", ["", *INVALID_IDENTIFIERS])
def test_the_name_of_a_step_is_an_identifier(name: str) -> None:
    check_rejected("step", lambda: operations.start_step(running(), NOON, name))


@pytest.mark.parametrize("name", VALID_IDENTIFIERS)
def test_any_identifier_names_a_step(name: str) -> None:
    assert operations.start_step(running(), NOON, name).task.find_step(name)


@pytest.mark.parametrize("type", ["complete", "error", "message", ""])
def test_an_update_cannot_have_the_type_of_an_end(type: str) -> None:
    check_rejected("type", lambda: operations.update(running(), NOON, type=type))


@pytest.mark.parametrize("name", sorted(RESERVED_FIELDS))
def test_further_fields_cannot_have_reserved_names(name: str) -> None:
    step = with_running_step()
    check_rejected(name, lambda: operations.update(running(), NOON, fields={name: 1}))
    check_rejected(name, lambda: operations.update_step(step, NOON, "a", fields={name: 1}))
    check_rejected(name, lambda: operations.end_step(step, NOON, "a", StepStatus.COMPLETED, fields={name: 1}))


@pytest.mark.parametrize("value", [object(), "\ud800", {1: {2: object()}}])
def test_further_fields_are_json_values(value: Any) -> None:
    check_rejected("fields", lambda: operations.update(running(), NOON, fields={"x": value}))
