"""A clock that jumps when nothing happens on any socket, and a client for real ones."""

from collections.abc import AsyncIterator

import httpx
import pytest
import trio.testing


@pytest.fixture
def clock() -> trio.testing.MockClock:
    # Bytes in flight between two sockets of this process are invisible to trio. The threshold gives them
    # time to arrive before the clock jumps.
    return trio.testing.MockClock(autojump_threshold=0.05)


@pytest.fixture
async def client(clock: trio.testing.MockClock) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=None, trust_env=False) as client:
        yield client
