"""Tickets of nodes on one Redis: redeemed once in all, and refused while Redis is away."""

import math
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from streamd.auth import AuthSettings, Tickets
from streamd.auth.tickets.redis import RedisTicketStore
from streamd.errors import InvalidToken, TooManyRequests, Unavailable
from streamd.redis import RedisLink, RedisStore
from tests.support.auth_clock import make_caller
from tests.support.redis_links import LossyLink, open_link
from tests.support.redis_servers import RedisServer, new_prefix, shared_server


def tickets_of(link: RedisLink, prefix: str) -> Tickets:
    """Make the tickets of a node."""
    store = RedisTicketStore(RedisStore(link, prefix, "the store of tickets"))
    return Tickets(store, AuthSettings(ticket_seconds=3000))


@pytest.fixture
def prefix() -> str:
    return new_prefix()


@pytest.fixture
async def nodes(prefix: str) -> AsyncIterator[list[Tickets]]:
    async with open_link() as one, open_link() as other:
        yield [tickets_of(one, prefix), tickets_of(other, prefix)]


async def test_a_ticket_of_one_node_is_redeemed_on_another(nodes: list[Tickets]) -> None:
    one, other = nodes
    ticket = await one.create(make_caller(issued_at=1.5))
    assert await other.redeem(ticket.text) == make_caller(issued_at=1.5)
    for node in nodes:
        with pytest.raises(InvalidToken):
            await node.redeem(ticket.text)


async def test_of_nodes_that_redeem_at_once_one_succeeds(nodes: list[Tickets]) -> None:
    outcomes: Counter[str] = Counter()

    async def redeem(node: Tickets, text: str) -> None:
        try:
            await node.redeem(text)
        except InvalidToken:
            outcomes["refused"] += 1
        else:
            outcomes[text] += 1

    texts = [(await nodes[0].create(make_caller())).text for _ in range(20)]
    async with trio.open_nursery() as nursery:
        for text in texts:
            for node in nodes * 2:
                nursery.start_soon(redeem, node, text)
    assert outcomes == {"refused": 60, **dict.fromkeys(texts, 1)}


async def test_the_bound_of_a_user_holds_over_all_nodes(nodes: list[Tickets]) -> None:
    one, other = nodes
    for _ in range(50):
        await one.create(make_caller())
        await other.create(make_caller())
    for node in nodes:
        with pytest.raises(TooManyRequests, match="100 tickets"):
            await node.create(make_caller())
        await node.create(make_caller("bob"))


async def test_redis_forgets_all_of_a_ticket_by_itself_and_never_has_its_text(
    nodes: list[Tickets], prefix: str
) -> None:
    async with open_link() as link:
        ticket = await nodes[0].create(make_caller())
        keys = await link.call(b"KEYS", prefix.replace("{", "[{]") + ":*")
        assert len(keys) == 3
        for key in keys:
            assert 0 < await link.call(b"PTTL", key) <= 3_000_000
            assert ticket.text[-32:].encode() not in key + await link.call(b"DUMP", key)
        await nodes[1].redeem(ticket.text)
        assert await link.call(b"KEYS", prefix.replace("{", "[{]") + ":*") == []


async def test_a_ticket_whose_reply_is_lost_is_spent(prefix: str) -> None:
    link = LossyLink()
    async with open_link(link), open_link() as other:
        tickets = tickets_of(link, prefix)
        ticket = await tickets.create(make_caller())
        link.losses = 1
        with pytest.raises(Unavailable, match="the store of tickets is not reachable"):
            await tickets.redeem(ticket.text)
        with pytest.raises(InvalidToken):
            await tickets_of(other, prefix).redeem(ticket.text)


async def test_without_redis_nothing_is_created_or_redeemed(prefix: str) -> None:
    async with open_link() as link:
        ticket = await tickets_of(link, prefix).create(make_caller())
    tickets = tickets_of(RedisLink(shared_server().address, "test"), prefix)
    with pytest.raises(Unavailable):
        await tickets.create(make_caller())
    with pytest.raises(Unavailable):
        await tickets.redeem(ticket.text)


async def test_with_full_memory_tickets_are_redeemed_and_none_are_created(
    tmp_path: Path, prefix: str
) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        async with open_link(RedisLink(server.address, "test", reply_seconds=math.inf)) as link:
            tickets = tickets_of(link, prefix)
            ticket = await tickets.create(make_caller())
            server.command("config", "set", "maxmemory", "1")
            with pytest.raises(Unavailable, match="no memory left"):
                await tickets.create(make_caller())
            assert await tickets.redeem(ticket.text) == make_caller()
    finally:
        server.kill()
