"""Timers of connections, on a virtual clock."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf

import pytest
import trio
import trio.testing

from streamd.server.timeouts import ConnectionTimeouts, ConnectionTimer


@asynccontextmanager
async def running() -> AsyncIterator[tuple[ConnectionTimeouts, trio.CancelScope, ConnectionTimer]]:
    """Run the timeouts of a server, with one timer."""
    timeouts, scope = ConnectionTimeouts(), trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timeouts.run)
        yield timeouts, scope, ConnectionTimer(timeouts, scope)
        nursery.cancel_scope.cancel()


async def cancelled_at(scope: trio.CancelScope) -> float:
    """Wait in a scope until it is cancelled, at most 1000 s; return the time since the call (s)."""
    start = trio.current_time()
    with scope:
        await trio.sleep(1000)
    return trio.current_time() - start


@pytest.mark.parametrize(
    ("deadlines", "expected"),
    [
        ([30], 30),
        ([30, 40, 50], 50),
        ([30, 10], 10),
        ([30, 10, 60], 60),
        ([30, inf], 1000),
        ([30, inf, 20], 20),
        ([30, inf, 70], 70),
        ([0], 0),
        ([-1], 0),
    ],
)
async def test_a_timer_cancels_at_its_last_deadline_alone(
    autojump_clock: trio.testing.MockClock, deadlines: list[float], expected: float
) -> None:
    async with running() as (_, scope, timer):
        await trio.testing.wait_all_tasks_blocked()
        start = trio.current_time()
        for deadline in deadlines:
            if deadline == inf:
                timer.stop()
            else:
                timer.start(start + deadline)
        assert await cancelled_at(scope) == expected


async def test_a_deadline_that_is_moved_while_it_is_awaited_counts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running() as (_, scope, timer):
        start = trio.current_time()
        timer.start(start + 30)
        for now in range(20, 200, 20):
            await trio.sleep_until(start + now)
            timer.stop()
            timer.start(trio.current_time() + 30)
        assert await cancelled_at(scope) == 30


async def test_other_timers_go_on_after_one_has_passed(autojump_clock: trio.testing.MockClock) -> None:
    async with running() as (timeouts, _, timer):
        timer.start(trio.current_time() + 30)
        await trio.sleep(31)
        scope = trio.CancelScope()
        other = ConnectionTimer(timeouts, scope)
        other.start(trio.current_time() + 5)
        assert await cancelled_at(scope) == 5


async def test_timers_that_start_before_the_timeouts_run_are_kept(
    autojump_clock: trio.testing.MockClock,
) -> None:
    timeouts, scope = ConnectionTimeouts(), trio.CancelScope()
    timer = ConnectionTimer(timeouts, scope)
    timer.start(trio.current_time() + 7)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timeouts.run)
        assert await cancelled_at(scope) == 7
        nursery.cancel_scope.cancel()


async def test_a_timer_is_queued_once_however_often_it_is_started(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The cost of a request: an assignment, not an entry of the queue."""
    queued: list[float] = []

    class Counted(ConnectionTimeouts):
        def queue(self, at: float, timer: ConnectionTimer) -> None:
            queued.append(at)
            super().queue(at, timer)

    timer = ConnectionTimer(Counted(), trio.CancelScope())
    for deadline in range(30, 130):
        timer.start(deadline)
        timer.stop()
    assert queued == [30]


async def test_the_longest_idle_connection_expires_first_unless_it_has_sent_a_request(
    autojump_clock: trio.testing.MockClock,
) -> None:
    timeouts = ConnectionTimeouts()
    scopes = [trio.CancelScope() for _ in range(4)]
    pairs = [socket.socketpair() for _ in scopes]
    for sock, _ in pairs:
        sock.setblocking(False)
    timers = [ConnectionTimer(timeouts, scope, sock) for scope, (sock, _) in zip(scopes, pairs, strict=True)]
    for timer in timers:
        timer.start(30)
    pairs[0][1].send(b"G")
    assert not timeouts.expire_oldest(), "their first requests may be on the way"
    await trio.sleep(0.3)
    timers[1].protect()  # its request waits for its turn
    assert timeouts.expire_oldest()
    assert [scope.cancel_called for scope in scopes] == [False, False, True, False]
    timers[3].stop()
    assert not timeouts.expire_oldest()
    pairs[0][0].recv(1)
    timers[1].start(40)
    assert timeouts.expire_oldest()
    assert timeouts.expire_oldest()
    assert [scope.cancel_called for scope in scopes] == [True, True, True, False]
    for pair in pairs:
        for sock in pair:
            sock.close()
