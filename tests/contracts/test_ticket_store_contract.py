"""The contract of the store of tickets, run against each implementation."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence

import pytest
import trio
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from streamd.auth.tickets import TicketLimits, TicketStore
from streamd.errors import TooManyRequests
from tests.support.auth_clock import AuthClock
from tests.support.ticket_stores import TICKET_STORES

LIMITS = TicketLimits(of_owner=3, in_all=5)
SECONDS = 3000.0  # Redis counts them in real time as well: far more than the test takes


@pytest.fixture
def clock() -> AuthClock:
    return AuthClock()


@pytest.fixture(params=TICKET_STORES)
async def store(request: pytest.FixtureRequest, clock: AuthClock) -> AsyncIterator[TicketStore]:
    async with TICKET_STORES[request.param](clock, LIMITS) as store:
        yield store


async def is_full(store: TicketStore, digest: str, owner: str) -> bool:
    try:
        await store.put(digest, b"{}", owner, SECONDS)
    except TooManyRequests:
        return True
    return False


async def test_a_ticket_is_taken_once(store: TicketStore) -> None:
    record = bytes(range(256))
    await store.put("a", record, "o" * 64, SECONDS)
    await store.put("b", b"other", "", SECONDS)
    assert await store.take("c") is None
    assert await store.take("a") == record
    assert await store.take("a") is None
    assert await store.take("b") == b"other"
    assert await store.take("b") is None


async def test_a_ticket_is_gone_at_the_millisecond_of_its_end(store: TicketStore, clock: AuthClock) -> None:
    for digest, seconds in ("a", SECONDS), ("b", SECONDS), ("c", 1000.0):
        await store.put(digest, b"{}", "owner", seconds)
    clock.pass_seconds(1000)
    assert await store.take("c") is None
    clock.pass_seconds(1999.999)
    assert await store.take("a") == b"{}"
    clock.pass_seconds(0.001)
    assert await store.take("b") is None


async def test_of_calls_at_once_one_has_the_record(store: TicketStore) -> None:
    taken: list[bytes | None] = []

    async def take() -> None:
        taken.append(await store.take("a"))

    await store.put("a", b"{}", "owner", SECONDS)
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(take)
    assert Counter(taken) == {b"{}": 1, None: 19}


async def test_tickets_of_an_owner_are_bounded_until_they_are_taken_or_expire(
    store: TicketStore, clock: AuthClock
) -> None:
    for digest, seconds in ("a", SECONDS), ("b", 1000.0), ("c", SECONDS):
        await store.put(digest, b"{}", "owner", seconds)
    assert await is_full(store, "d", "owner")
    assert await store.take("d") is None
    assert not await is_full(store, "e", "other")
    await store.take("a")
    assert not await is_full(store, "f", "owner")
    assert await is_full(store, "g", "owner")
    clock.pass_seconds(1000)
    assert not await is_full(store, "g", "owner")


async def test_tickets_in_all_are_bounded_until_they_are_taken_or_expire(
    store: TicketStore, clock: AuthClock
) -> None:
    await store.put("short", b"{}", "", 1000.0)
    for digest in "abcd":  # without an owner, they share no other bound
        await store.put(digest, b"{}", "", SECONDS)
    assert await is_full(store, "e", "owner")
    await store.take("a")
    assert not await is_full(store, "e", "owner")
    assert await is_full(store, "f", "")
    clock.pass_seconds(1000)
    assert not await is_full(store, "f", "")
    clock.pass_seconds(SECONDS)
    assert not any([await is_full(store, digest, "") for digest in "ghijk"])
    assert await is_full(store, "l", "")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(["", "o", "p"]), st.sampled_from([100.0, 1000.0, 3000.0])),
        st.tuples(st.just("take"), st.integers(0, 12), st.just(0.0)),
        st.tuples(st.just("pass"), st.just(""), st.sampled_from([99.999, 100.0, 900.0, 2900.0])),
    ),
    max_size=30,
)


async def compare_with_model(
    store: TicketStore, clock: AuthClock, steps: Sequence[tuple[str, object, float]]
) -> None:
    """Take steps with a store, and compare each result with that of a list of tickets."""
    live: dict[str, tuple[str, int]] = {}  # owner and end of each ticket
    number = 0
    for name, argument, seconds in steps:
        live = {digest: (owner, end) for digest, (owner, end) in live.items() if end > clock.ms}
        if name == "pass":
            clock.pass_seconds(seconds)
        elif name == "take":
            expected = f"record {argument}".encode() if live.pop(str(argument), None) else None
            assert await store.take(str(argument)) == expected
        else:
            owner = str(argument)
            of_owner = sum(each == owner for each, _ in live.values())
            full = len(live) >= LIMITS.in_all or (owner != "" and of_owner >= LIMITS.of_owner)
            try:
                await store.put(str(number), f"record {number}".encode(), owner, seconds)
            except TooManyRequests:
                assert full
            else:
                assert not full
                live[str(number)] = (owner, clock.ms + round(seconds * 1000))
            number += 1


@pytest.mark.parametrize("kind", TICKET_STORES)
@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_any_steps_have_the_results_of_the_model(
    kind: str, steps: Sequence[tuple[str, object, float]]
) -> None:
    async def main() -> None:
        clock = AuthClock()
        async with TICKET_STORES[kind](clock, LIMITS) as store:
            await compare_with_model(store, clock, steps)

    trio.run(main)
