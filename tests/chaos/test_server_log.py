"""Tracebacks in a server's log."""

from tests.chaos.server_log import unexpected_traceback

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
    assert unexpected_traceback(f"line\n{FULL}line\n") is None


def test_other_error_is_found() -> None:
    found = unexpected_traceback(f"line\n{FULL}{OTHER}line\n")
    assert found is not None
    assert found.endswith("AssertionError")
