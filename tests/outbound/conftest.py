"""A clock that jumps when nothing happens on any socket, and a client for real ones."""

from collections.abc import AsyncIterator

import httpx
import pytest
import trio.testing

from tests.support.clocks import socket_clock


@pytest.fixture
def clock() -> trio.testing.MockClock:
    return socket_clock()


@pytest.fixture
async def client(clock: trio.testing.MockClock) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=None, trust_env=False) as client:
        yield client
