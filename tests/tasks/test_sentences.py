"""Texts that work in this process reports: made valid, so that they never fail its task."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from streamd.characters import TextKind, find_invalid
from streamd.tasks import Kind, Progress, TextStream, WorkFailed
from streamd.tasks.sentences import check_code, fit, make_valid
from tests.support.odd_texts import INVALID_IDENTIFIERS, INVALID_TEXTS, VALID_IDENTIFIERS, VALID_TEXTS
from tests.support.step_work import lose
from tests.support.task_rig import Rig, SetClock, make_rig, running
from tests.support.task_stores import STORES


@pytest.mark.parametrize(
    ("sentence", "fitted"),
    [("short", "short"), ("x" * 5000, "x" * 2000), ("a\ud800b", "a?b"), ("\x1b[2J\ta\nb\0", "?[2J\ta\nb?")],
)
def test_fit_shortens_a_sentence_and_replaces_invalid_characters(sentence: str, fitted: str) -> None:
    assert fit(sentence) == fitted


@pytest.mark.parametrize(
    ("code", "fitted"),
    [("no-paper", "no-paper"), ("x" * 5000, "x" * 64), ("two\nlines", "two?lines"), ("", "failed")],
)
def test_the_code_of_failed_work_is_made_valid(code: str, fitted: str) -> None:
    failed = WorkFailed("it failed", code=code)
    assert failed.code == fitted == check_code(fitted, "code")


def test_text_keeps_its_length_and_its_valid_characters() -> None:
    for text in VALID_TEXTS:
        assert make_valid(text) == text
    for text in INVALID_TEXTS:
        assert find_invalid(make_valid(text), TextKind.TEXT) is None
    for name in VALID_IDENTIFIERS:
        assert fit(name, TextKind.IDENTIFIER) == name
    for name in INVALID_IDENTIFIERS:
        assert find_invalid(fit(name, TextKind.IDENTIFIER)) is None
    assert make_valid("\0" * 5000) == "?" * 5000


BAD = "\x1b[2J bad \ud800 \x07"
GOOD = "?[2J bad ? ?"


async def work(progress: Progress) -> Any:
    """Report invalid characters in every text, and end as the input says."""
    await progress.update(message=BAD, step="two\nlines\u202e")
    await progress.update(message="x" * 5000)
    stream = TextStream(progress, 0.0)
    await stream.add(f"{BAD}\n")
    await stream.flush()
    async with progress.step("good", message=BAD) as step:
        await step.update(50, BAD)
    async with progress.step("skipped") as step:
        await step.skip(BAD)
    async with progress.step("bad"):
        lose(BAD)
    match progress.input:
        case "fail":
            raise WorkFailed(f"it failed: {OSError(BAD)}", code="no\nway")
        case "result":
            return {"\ud800": {1, 2}}
    progress.complete(BAD)
    return None


@pytest.fixture(params=["memory", "sqlite:memory", "redis"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    async with STORES[request.param](tmp_path) as store:
        async with running(make_rig(store=store, kinds=[Kind(name="k", work=work)], now=SetClock())) as rig:
            yield rig


async def test_work_here_is_never_failed_by_its_own_texts(rig: Rig) -> None:
    await rig.tasks.create("k", id="t")
    task = await rig.ended("t")
    assert (task.status, task.message) == ("completed", GOOD)
    assert [(step.message, step.error) for step in task.steps] == [(GOOD, ""), (GOOD, ""), ("", GOOD)]
    assert await rig.tasks.text("t") == f"{GOOD}\n"
    said = await rig.data_of("t")
    assert (said[2]["message"], said[2]["step_name"]) == (GOOD, "two?lines?")
    assert said[3]["message"] == "x" * 2000


async def test_the_reason_of_failed_work_is_made_valid(rig: Rig) -> None:
    await rig.tasks.create("k", id="t", input="fail")
    error = (await rig.ended("t")).error
    assert error is not None
    assert (error.detail, error.code) == (f"it failed: {GOOD}", "no?way")


async def test_a_result_that_is_no_json_fails_its_task_with_a_valid_reason(rig: Rig) -> None:
    await rig.tasks.create("k", id="t", input="result")
    error = (await rig.ended("t")).error
    assert error is not None
    assert error.code == "internal"
    assert find_invalid(error.detail, TextKind.TEXT) is None
