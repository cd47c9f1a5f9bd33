"""A pytest plugin that fails tests that leave the log of their process configured."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog


@pytest.fixture(autouse=True)
def log_left_as_found() -> Iterator[None]:
    """Check that the test leaves structlog and the levels of the standard library's loggers as it found them.

    ``structlog.is_configured`` does not tell: it is true after ``capture_logs``, which restores everything.
    """
    before = log_state()
    yield
    assert log_state() == before, "the test leaves the log configured; run `streamd serve` in a process"


def log_state() -> dict[str, Any]:
    """Return the configuration of structlog, and the levels of streamd's loggers and of the root."""
    configuration = structlog.get_config()
    names = [name for name in logging.Logger.manager.loggerDict if name.partition(".")[0] == "streamd"]
    levels = {name: logging.getLogger(name).level for name in ["root", *names]}
    set_levels = {name: level for name, level in levels.items() if level != logging.NOTSET}
    return {**configuration, "processors": list(configuration["processors"]), "levels": set_levels}
