"""A fake server for commands. They run in their own processes, so time is real here."""

from collections.abc import AsyncIterator

import pytest

from tests.support.fake_streamd import FakeStreamd, fake_streamd


@pytest.fixture
async def server() -> AsyncIterator[FakeStreamd]:
    async with fake_streamd() as server:
        yield server
