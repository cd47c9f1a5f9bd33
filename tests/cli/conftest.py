"""A server for commands to talk to. They are processes of their own, so time is real here."""

from collections.abc import AsyncIterator

import pytest

from tests.support.fake_server import FakeServer, serve


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with serve() as server:
        yield server
