"""The limit on open connections of one address, on real sockets."""

import resource
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from streamd.errors import TooManyForCaller
from streamd.metrics import Metrics
from streamd.proxies import TrustedProxies
from streamd.server.address_slots import AddressSlots
from tests.support.certificates import write_certificate
from tests.support.far_clients import FarServer, serving_far

FAR = "203.0.113.9"
CODE = "too-many-for-caller"


async def statuses(server: FarServer, stack: AsyncExitStack, requests: list[bytes]) -> list[bytes]:
    """Ask on connections that stay open, and return the status of each answer; empty without one."""
    found = []
    for request in requests:
        stream, answer = await server.ask(request)
        await stack.enter_async_context(stream)
        found.append(answer[9:12])
    return found


async def test_an_address_gets_no_more_than_its_connections() -> None:
    async with serving_far(FAR, max_connections_per_address=3) as server, AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(await server.connect(b"")) for _ in range(3)]
        stream, answer = await server.ask()
        await stack.enter_async_context(stream)
        assert answer.startswith(b"HTTP/1.1 429 Too Many Requests\r\n"), answer
        assert b"\r\ncontent-type: application/problem+json\r\n" in answer
        assert b"\r\nretry-after: 5\r\n" in answer
        assert f'"code":"{CODE}"'.encode() in answer
        assert server.count("connections_refused", code=CODE) == 1
        await idle.pop().aclose()
        while answer.startswith(b"HTTP/1.1 429"):  # until the server has noticed
            stream, answer = await server.ask()
            await stack.enter_async_context(stream)
        assert answer.startswith(b"HTTP/1.1 200")


async def test_other_addresses_have_connections_of_their_own() -> None:
    peers = [FAR, FAR, "203.0.113.10", "2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"]
    async with serving_far(*peers, max_connections_per_address=1) as server, AsyncExitStack() as stack:
        found = await statuses(server, stack, [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"] * len(peers))
        assert found == [b"200", b"429", b"200", b"200", b"429", b"200"]


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1", "198.51.100.7"])
async def test_loopback_and_trusted_proxies_are_not_counted(peer: str) -> None:
    settings = {"max_connections_per_address": 1, "trusted_proxies": ["198.51.100.0/24"]}
    async with serving_far(peer, **settings) as server, AsyncExitStack() as stack:
        assert await statuses(server, stack, [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"] * 3) == [b"200"] * 3


async def test_behind_a_proxy_of_the_proxy_protocol_its_clients_are_counted() -> None:
    settings = {
        "max_connections_per_address": 1,
        "trusted_proxies": ["198.51.100.7"],
        "proxy_protocol": True,
    }
    request = b"PROXY TCP4 %b 192.0.2.1 4000 80\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"
    async with serving_far("198.51.100.7", **settings) as server, AsyncExitStack() as stack:
        clients = [b"203.0.113.1", b"203.0.113.1", b"203.0.113.2"]
        found = await statuses(server, stack, [request % client for client in clients])
        assert found == [b"200", b"", b"200"]
        assert server.count("connections_refused", code=CODE) == 1


async def test_a_connection_over_tls_is_refused_without_a_handshake(tmp_path: Path) -> None:
    pem = write_certificate(tmp_path)
    settings = {"max_connections_per_address": 1, "certfile": pem, "keyfile": pem}
    async with serving_far(FAR, **settings) as server, AsyncExitStack() as stack:
        await stack.enter_async_context(await server.connect(b""))
        assert await statuses(server, stack, [b""]) == [b""]
        assert server.count("connections_refused", code=CODE) == 1


def test_without_a_limit_of_its_own_an_address_gets_half_of_the_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    slots = AddressSlots(TrustedProxies.create([]), 0, Metrics(max_type_labels=1))
    resource.setrlimit(resource.RLIMIT_NOFILE, (600, hard))
    try:
        keys = [slots.take(FAR) for _ in range(300)]
        with pytest.raises(TooManyForCaller, match="300"):
            slots.take(FAR)
        slots.give_back(keys.pop())
        assert slots.take(FAR)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_every_slot_is_given_back() -> None:
    async with serving_far(FAR, max_connections_per_address=2) as server:
        answered = 0
        while answered < 10:  # refused until the server has noticed that earlier ones have left
            stream, answer = await server.ask()
            answered += answer.startswith(b"HTTP/1.1 200")
            await trio.aclose_forcefully(stream)
