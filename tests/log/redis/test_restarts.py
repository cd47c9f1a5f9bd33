"""Restarts of the server: nothing is lost without a gap, and no gap is reported without a loss."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from streamd.errors import OutcomeUnknown, Unavailable
from streamd.events import EARLIEST, EventId
from streamd.log.redis import RedisLog
from streamd.log.settings import LogSettings
from tests.support.logs import MANY, append, data, draft, topics
from tests.support.redis_nodes import nodes, own_server, until_connected, until_seen
from tests.support.redis_servers import RedisServer
from tests.support.waiting import until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with own_server(tmp_path) as server:
        yield server


async def restart(server: RedisServer, *logs: RedisLog, lost_after: int | None = None) -> None:
    """Kill the server, start it again without its last writes, and wait for the nodes."""
    server.kill()
    await until(lambda: not any(log.is_connected for log in logs))
    if lost_after is not None:
        server.lose_after(lost_after)
    server.start()
    await until_connected(*logs)


async def read_after(log: RedisLog, cursor: EventId) -> tuple[list[str], EventId | None]:
    page = await log.read(topics("a"), cursor, **MANY)
    return data(page), page.gap


async def test_a_restart_without_a_loss_is_no_gap(server: RedisServer) -> None:
    async with nodes(server.address, 2) as [one, other]:
        [first, second] = await append(one, "a", "a")
        await until_seen(other, second)
        await restart(server, one, other)
        [third] = await append(other, "a")
        await until_seen(one, third)
        for log in (one, other):
            for cursor, left in ((EARLIEST, 3), (first, 2), (second, 1), (third, 0)):
                assert await read_after(log, cursor) == (["a"] * left, None)
            assert (await log.tail(second, **MANY)).gap is None


async def test_a_loss_that_one_node_has_seen_is_a_gap_on_each(server: RedisServer) -> None:
    async with nodes(server.address, 2) as [one, other]:
        [kept] = await append(one, "a")
        await until_seen(other, kept)
        size = server.written_bytes()
        [lost] = await append(one, "a")
        await restart(server, one, other, lost_after=size)
        [new] = await append(other, "a")
        await until_seen(one, new)
        for log in (one, other):
            events, gap = await read_after(log, kept)
            assert events == ["a"]
            assert gap is not None
            assert lost < gap < new
            assert await read_after(log, lost) == (["a"], gap)
            assert await read_after(log, new) == ([], None)


async def test_the_fan_out_leaves_the_lost_events_that_are_in_memory(server: RedisServer) -> None:
    async with nodes(server.address) as [one]:
        [kept] = await append(one, "a")
        size = server.written_bytes()
        [lost] = await append(one, "a")
        await restart(server, one, lost_after=size)
        [new] = await append(one, "a")
        for cursor in (kept, lost):
            page = await one.tail(cursor, **MANY)
            assert page.events == []
            assert page.gap is not None
            assert lost < page.gap < new
            page = await one.tail(page.cursor, **MANY)
            assert ([event.id for event in page.events], page.gap) == ([new], None)


async def test_a_cursor_that_another_node_gave_out_repeats_nothing(server: RedisServer) -> None:
    async with nodes(server.address, 2) as [one, other]:
        await append(one, "a", "a", "a")
        size = server.written_bytes()
        [lost] = await append(one, "a")
        await restart(server, one, other, lost_after=size)
        for log in (one, other):
            events, gap = await read_after(log, lost)
            assert events == []
            assert gap is not None


async def test_appends_after_a_restart_wait_for_the_nodes_that_may_know_of_a_loss(
    server: RedisServer,
) -> None:
    async with nodes(server.address) as [one]:
        size = 0
        with trio.CancelScope() as of_other:
            async with nodes(server.address) as [other]:
                [kept] = await append(one, "a")
                await until_seen(other, kept)
                size = server.written_bytes()
                of_other.cancel()
        await restart(server, one, lost_after=size)
        assert await append(one, "a")  # the other one is given up after a while
        assert (await read_after(one, kept))[1] is None


async def test_a_full_memory_refuses_appends_and_nothing_else(server: RedisServer) -> None:
    async with nodes(server.address) as [log]:
        await append(log, "a", "a")
        server.command("CONFIG", "SET", "maxmemory", "1")
        head = log.head
        with pytest.raises(Unavailable, match="memory"):
            await log.append([draft("a"), draft("b")])
        assert log.head == head
        assert await read_after(log, EARLIEST) == (["a", "a"], None)
        server.command("CLIENT", "KILL", "TYPE", "normal")
        await until(lambda: not log.is_connected)
        await until_connected(log)
        log.apply_settings(LogSettings(topic_max_events=1))
        await log.trim()
        assert (await read_after(log, EARLIEST))[0] == ["a"]
        server.command("CONFIG", "SET", "maxmemory", "0")
        assert await append(log, "a")


async def test_an_append_of_unknown_outcome_is_not_called_refused(server: RedisServer) -> None:
    errors: list[Exception] = []

    async def publish(log: RedisLog) -> None:
        try:
            await append(log, "a")
        except (Unavailable, OutcomeUnknown) as error:
            errors.append(error)

    async with nodes(server.address) as [log]:
        await append(log, "a")
        server.signal(signal.SIGSTOP)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish, log)
            await trio.testing.wait_all_tasks_blocked(0.05)
            server.kill()
            server.start("--maxmemory", "1")
    [error] = errors
    assert isinstance(error, OutcomeUnknown)


async def test_a_server_that_is_stopped_does_not_hold_up_the_end(server: RedisServer) -> None:
    async with trio.open_nursery() as nursery:
        log = RedisLog(server.address, LogSettings())
        await nursery.start(log.serve)
        server.signal(signal.SIGSTOP)
        nursery.start_soon(_append_or_fail, log)
        await trio.testing.wait_all_tasks_blocked(0.05)
        with trio.fail_after(5):
            nursery.cancel_scope.cancel()
            await trio.lowlevel.checkpoint()
    server.signal(signal.SIGCONT)


async def _append_or_fail(log: RedisLog) -> None:
    with pytest.raises(OutcomeUnknown):
        await append(log, "a")


async def test_a_server_that_is_away_at_the_start_is_named(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    log = RedisLog(RedisServer(tmp_path).address, LogSettings())
    with trio.fail_after(20):
        with pytest.RaisesGroup(Unavailable, flatten_subgroups=True, allow_unwrapped=True) as caught:
            await log.serve()
    assert str(tmp_path) in str(caught.value.exceptions)
