"""A fixture with the URL of each kind of store, for tests that both kinds must pass."""

from pathlib import Path

import pytest


@pytest.fixture(params=["memory", "sqlite"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return ``memory:``, and the URL of a new SQLite file in a second run of the test."""
    return "memory:" if request.param == "memory" else f"sqlite:{tmp_path / 'streamd.db'}"
