"""Fixtures for pytest."""

from collections.abc import AsyncIterator

import pytest

from .server import RunningServer, run_server


@pytest.fixture
async def streamd_server() -> AsyncIterator[RunningServer]:
    """Run a server with default settings for one test, on a free port of the loopback interface."""
    async with run_server() as server:
        yield server
