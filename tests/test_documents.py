"""The settings, problems, reasons and figures that the README and the services' page name."""

import re
from pathlib import Path

import pytest

import streamd.errors
from streamd.config.fields import settings_of
from streamd.connections import CloseReason
from streamd.errors import StreamdError
from streamd.settings import Settings
from streamd.tasks.operations import STALLED, TIMEOUT

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SERVICES = (ROOT / "streamd" / "services" / "README.md").read_text()
PAGES = pytest.mark.parametrize("page", [README, SERVICES], ids=["README", "services"])
SETTINGS = set(settings_of(Settings))
PROBLEMS = {
    (each.status, each.code)
    for each in vars(streamd.errors).values()
    if isinstance(each, type) and issubclass(each, StreamdError)
}


def settings_named(page: str) -> set[str]:
    """Return the paths in code, such as ``log.max_events``, and those written as ``[log] max_events``."""
    sections = {path.partition(".")[0] for path in SETTINGS}
    paths = set(re.findall(r"`((?:\w+\.)*\w+\.\w+)(?: = [^`]*)?`", page))
    paths = {path for path in paths if path.partition(".")[0] in sections}
    return paths | {f"{table}.{name}" for table, name in re.findall(r"`\[([\w.]+)\] (\w+)[^`]*`", page)}


def in_code(before: str, page: str) -> set[str]:
    """Return the words in code that follow a pattern."""
    return set(re.findall(rf"{before}\s+`([a-z-]+)`", page))


@PAGES
def test_named_settings_exist(page: str) -> None:
    assert settings_named(page) - SETTINGS == set()


def test_the_settings_are_found() -> None:
    assert {"connections.control", "poll.max_wait_seconds", "tasks.lease_seconds"} <= settings_named(README)
    assert {"research.enabled", "tuning.sentiment.max_ahead_seconds"} <= settings_named(SERVICES)


@PAGES
def test_named_problems_exist_with_their_status(page: str) -> None:
    named = {(int(status), code) for status, code in re.findall(r"\b([45]\d\d)\s+`([a-z-]+)`", page)}
    assert named
    assert named - PROBLEMS == set()


def test_named_reasons_of_a_close_exist() -> None:
    named = in_code("`closing`:", README) | in_code("`closing` with the reason", README)
    assert {"closed", "overflow", "replaced"} <= named <= set(CloseReason)


@PAGES
def test_named_failures_of_a_task_exist(page: str) -> None:
    named = in_code("a task fails:", page) | in_code("(?:which|that) fails? as", page)
    assert STALLED in named
    assert named <= {STALLED, TIMEOUT}


@PAGES
def test_named_defaults_are_those_of_the_settings(page: str) -> None:
    settings = Settings()
    assert f"within its lease ({settings.tasks.lease_seconds:g} s by default)" in page.replace("\n", " ")
    if page is README:
        assert f"At most {settings.logging.max_lines_per_second} lines of a kind" in page
        assert settings.connections.stale_seconds == 120, "two minutes"


@PAGES
def test_leases_in_the_examples_end_before_the_default_deadline(page: str) -> None:
    leases = [float(seconds) for seconds in re.findall(r'"lease_seconds": ([\d.]+)', page)]
    assert all(seconds <= Settings().tasks.timeout_seconds for seconds in leases)
    assert leases or page is SERVICES
