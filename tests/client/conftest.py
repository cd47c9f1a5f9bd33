"""A fake server on a real socket, a clock that jumps over its waits, and the transports of the client."""

from collections.abc import AsyncIterator
from typing import cast

import pytest
import trio.testing

from streamd.client.subscription import Transport
from tests.support.clocks import socket_clock
from tests.support.fake_streamd import FakeStreamd, fake_streamd
from tests.support.subscriptions import TRANSPORTS


@pytest.fixture
def clock() -> trio.testing.MockClock:
    return socket_clock()


@pytest.fixture
async def server(clock: trio.testing.MockClock) -> AsyncIterator[FakeStreamd]:
    async with fake_streamd() as server:
        yield server


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> Transport:
    return cast(Transport, request.param)
