"""A server for commands to talk to. They are processes of their own, so time is real here."""

from collections.abc import AsyncIterator

import pytest

from tests.support.fake_streamd import FakeStreamd, fake_streamd


@pytest.fixture
async def server() -> AsyncIterator[FakeStreamd]:
    async with fake_streamd() as server:
        yield server
