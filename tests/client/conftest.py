"""A server on a real socket, and a clock that jumps when nothing happens on any."""

from collections.abc import AsyncIterator

import pytest
import trio.testing

from tests.support.fake_streamd import FakeStreamd, fake_streamd


@pytest.fixture
def clock() -> trio.testing.MockClock:
    # pytest-trio uses it when the test itself asks for it. Real sockets need a moment that no task is
    # seen to wait for; only then may time jump.
    return trio.testing.MockClock(autojump_threshold=0.05)


@pytest.fixture
async def server(clock: trio.testing.MockClock) -> AsyncIterator[FakeStreamd]:
    async with fake_streamd() as server:
        yield server
