"""The pytest fixtures."""

from collections.abc import AsyncIterator

import pytest

from .server import RunningServer, run_server


@pytest.fixture
async def streamd_server() -> AsyncIterator[RunningServer]:
    """A server with default settings on a free port of the loopback interface, for one test."""
    async with run_server() as server:
        yield server
