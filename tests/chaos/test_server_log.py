"""Tracebacks in a server's log."""

from tests.chaos.server_log import unexpected_error

FULL = """Traceback (most recent call last):
  File "database.py", line 332, in _commit
    with connection:
apsw.FullError: database or disk is full

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "database.py", line 240, in write
    raise write.error
streamd.errors.Unavailable: the store failed
"""
OTHER = """Traceback (most recent call last):
  File "log.py", line 1, in append
    assert found

AssertionError
"""


def test_full_disk_is_expected() -> None:
    assert unexpected_error(f"line\n{FULL}line\n") is None


def test_other_error_is_found() -> None:
    found = unexpected_error(f"line\n{FULL}{OTHER}line\n")
    assert found is not None
    assert found.endswith("AssertionError")


def test_other_error_is_found_in_a_group() -> None:
    group = "".join(f"    | {line}\n" for line in (FULL + OTHER).splitlines())
    found = unexpected_error(f"  + Exception Group Traceback (most recent call last):\n{group}    +----\n")
    assert found is not None
    assert found.endswith("AssertionError")


def test_request_that_is_torn_off_is_found() -> None:
    text = f"2026-01-02 [error] application_failed path=/events\n{FULL}"
    assert unexpected_error(f"2026-01-01 line\n{text}2026-01-03 line\n") == text
