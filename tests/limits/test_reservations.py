"""Limits over two nodes on one Redis: what they give together is bounded. Without it, each decides alone."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio

from streamd.limits import Limiter, Rate
from streamd.limits.reservations import Reservations, SharedLimiter
from streamd.redis import RedisLink
from tests.support.redis_links import CountingLink, open_link
from tests.support.redis_servers import RedisServer, new_prefix, shared_server
from tests.support.waiting import until

SECONDS = 20


@attrs.frozen
class Node:
    """One node's share of a limit."""

    limiter: SharedLimiter
    reservations: Reservations
    link: RedisLink

    async def give(self, key: str, cost: int = 1) -> bool:
        return (await self.limiter.take(key, cost)).allowed


@asynccontextmanager
async def node(
    rate: Rate,
    prefix: str,
    make_link: Callable[[], RedisLink] = CountingLink,
    max_keys: int = 1000,
    reply_seconds: float = SECONDS,
) -> AsyncIterator[Node]:
    async with open_link(make_link()) as link, trio.open_nursery() as nursery:
        reservations = Reservations(link, prefix, reply_seconds)
        nursery.start_soon(reservations.run)
        yield Node(SharedLimiter("test", Limiter(rate), reservations, max_keys=max_keys), reservations, link)
        nursery.cancel_scope.cancel()


async def take_until_refused(which: Node, key: str, cost: int = 1) -> int:
    """Take until the first refusal, and count what was taken."""
    given = 0
    while await which.give(key, cost):
        given += cost
    return given


@pytest.mark.parametrize("burst", [1, 5, 100, 10_000])
async def test_two_nodes_give_one_account_and_two_batches_each(burst: int) -> None:
    rate = Rate(0.001, burst)  # nothing to speak of is earned meanwhile
    prefix = new_prefix()
    async with node(rate, prefix) as first, node(rate, prefix) as second:
        given = [0, 0]

        async def drain(index: int, which: Node) -> None:
            given[index] = await take_until_refused(which, "ann")

        with trio.fail_after(SECONDS):
            async with trio.open_nursery() as nursery:
                for index, which in enumerate((first, second)):
                    nursery.start_soon(drain, index, which)
        assert all(number <= burst for number in given)
        assert sum(given) >= burst - 2 * first.limiter.batch
        assert sum(given) <= burst + 2 * 2 * first.limiter.batch
        # Both know it now, and ask nobody.
        assert not await first.give("ann")
        assert not await second.give("ann")
        assert await first.give("bob")


async def test_what_one_node_has_given_is_missing_on_another() -> None:
    rate = Rate(0.001, 100)
    prefix = new_prefix()
    async with node(rate, prefix) as first, node(rate, prefix) as second:
        assert await take_until_refused(first, "ann") == 100
        # The second gives a caller whom it does not know one batch, before it has asked.
        assert await take_until_refused(second, "ann") == second.limiter.batch == 10
        refused = await second.limiter.take("ann")
        assert refused.retry_after_seconds > 9_000  # the batch that was not there is earned back first


async def test_refusals_and_reserved_tokens_cost_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    start = RedisLink.start

    def count(self: RedisLink, command: bytes, *arguments: object, **options: object) -> object:
        nonlocal calls
        calls += command.startswith(b"EVAL")
        return start(self, command, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(RedisLink, "start", count)
    async with node(Rate(0.001, 10_000), new_prefix()) as only:
        began = trio.current_time()
        for _ in range(20_000):
            await only.give("ann")
        # One call each 20 ms at most, and one more for a script that the server does not know yet.
        assert 1 <= calls <= 3 + (trio.current_time() - began) / 0.02
        assert calls < 500


async def test_requests_that_come_together_are_admitted_together() -> None:
    async with node(Rate(0.001, 100), new_prefix()) as only:
        given: list[bool] = []

        async def take() -> None:
            given.append(await only.give("ann"))

        with trio.fail_after(SECONDS):
            async with trio.open_nursery() as nursery:
                for _ in range(120):
                    nursery.start_soon(take)
        assert given.count(True) == 100


async def test_a_request_that_is_cancelled_while_it_waits_takes_nothing() -> None:
    async with node(Rate(0.001, 100), new_prefix()) as only:
        for _ in range(only.limiter.batch):
            assert await only.give("ann")
        with trio.CancelScope() as scope:
            scope.cancel()
            await only.give("ann", 50)
        assert scope.cancelled_caught
        with trio.fail_after(SECONDS):
            assert await take_until_refused(only, "ann") == 100 - only.limiter.batch


async def test_earned_tokens_are_given_again() -> None:
    async with node(Rate(1000.0, 5), new_prefix()) as only:
        with trio.fail_after(SECONDS):
            for _ in range(100):
                while not (decision := await only.limiter.take("ann")).allowed:
                    assert decision.retry_after_seconds > 0
                    await trio.sleep(decision.retry_after_seconds)


async def test_a_cost_above_the_burst_waits_for_a_full_account_and_leaves_a_debt() -> None:
    rate = Rate(0.001, 10)
    prefix = new_prefix()
    async with node(rate, prefix) as first, node(rate, prefix) as second:
        assert await first.give("ann", 10) or await first.give("ann", 9)
        assert not await second.give("ann", 50)
        assert (await second.limiter.take("ann", 50)).retry_after_seconds > 1000


async def test_tokens_of_a_refused_request_are_given_back() -> None:
    async with node(Rate(0.001, 10), new_prefix()) as only:
        for _ in range(50):
            assert await only.give("ann")
            only.limiter.give_back("ann", 1)


async def test_callers_that_do_not_fit_are_limited_by_each_node() -> None:
    async with node(Rate(0.001, 3), new_prefix(), max_keys=2) as only:
        for name in ("a", "b", "c", "d"):
            assert await take_until_refused(only, name) in (2, 3)


async def test_while_redis_is_away_each_node_decides_alone_and_then_together_again(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        rate = Rate(0.001, 10)
        async with node(rate, "{limits}", lambda: RedisLink(server.address, "limits")) as only:
            assert await only.give("ann")
            server.kill()
            await until(lambda: not only.link.connected.is_set())
            assert await take_until_refused(only, "ann") == 9
            assert await take_until_refused(only, "bob") == 10
            server.start()
            await until(only.link.connected.is_set)
            assert await only.give("eve")
            await until(lambda: bool(server.command("KEYS", "*:limit:*")))
            await until(lambda: only.reservations.is_usable)
    finally:
        server.kill()


class Mute(CountingLink):
    """A link whose server replies to no script."""

    def start(self, command: bytes, *arguments: object, **options: object):  # type: ignore[no-untyped-def]
        async def wait() -> None:
            await trio.sleep_forever()

        return wait if command.startswith(b"EVAL") else super().start(command, *arguments, **options)  # type: ignore[arg-type]


async def test_a_server_that_does_not_reply_delays_one_request_and_decides_nothing() -> None:
    async with node(Rate(0.001, 5), new_prefix(), Mute, reply_seconds=0.05) as only:
        with trio.fail_after(SECONDS):
            assert await take_until_refused(only, "ann") == 5
            assert not only.reservations.is_usable
            assert await take_until_refused(only, "bob") == 5


async def test_no_key_in_redis_names_a_caller() -> None:
    prefix = new_prefix()
    async with node(Rate(0.001, 5), prefix) as only:
        await only.give("user:ann@example.com")
        pattern = prefix.replace("{", "[{]") + ":*"
        await until(lambda: bool(shared_server().command("KEYS", pattern)))
        [key] = shared_server().command("KEYS", pattern).splitlines()
        assert "ann" not in key
        assert int(shared_server().command("PTTL", key)) > 0
