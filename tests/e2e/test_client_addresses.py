"""Clients behind the reverse proxies count by their own addresses, in limits and in lists."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import attrs
import httpx
import pytest

from tests.support.certificates import trusting, write_certificate
from tests.support.fronts import APACHE, FRONTS, HAPROXY, VARNISH, FrontKind, free_ports, front_of, proxying
from tests.support.server_process import ServerProcess, server_process

SECONDS = 60
TRUSTED = "127.0.0.1"  # where fronts connect from
ANN, BEN = "127.0.0.2", "127.0.0.3"  # clients, whose connections come from these addresses
FORGED = {
    "X-Forwarded-For": "192.0.2.7",
    "Forwarded": "for=192.0.2.7;proto=https",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Prefix": "/evil",
}
POLL = "/events/poll?topic=a&wait=0"
ONE_POLL = {"limits__subscribe_per_second": 0.001, "tuning__limits__subscribe_burst": 1}
"""One poll of each address: numbers of connections are not limited on the loopback interface."""
HAPROXY_TCP = """
defaults
    mode {mode}
    timeout server 75s
    timeout client 75s
    timeout connect 2s

frontend clients
    bind 127.0.0.1:{port}
    default_backend streamd

backend streamd
    default-server check inter 200ms {send}
    server node 127.0.0.1:{node}
"""


@attrs.frozen
class Clients:
    """A client at each address."""

    at: dict[str, httpx.AsyncClient]

    async def addresses(self) -> list[str]:
        """Return the addresses of the open connections, as the node lists them."""
        listed = (await self.at[ANN].get("/connections")).json()["connections"]
        return sorted(entry["address"] for entry in listed)


@asynccontextmanager
async def clients_of(url: str) -> AsyncIterator[Clients]:
    async with AsyncExitStack() as stack:
        clients = {}
        for address in (ANN, BEN):
            transport = httpx.AsyncHTTPTransport(local_address=address, verify=trusting())
            client = httpx.AsyncClient(base_url=url, timeout=SECONDS, transport=transport)
            clients[address] = await stack.enter_async_context(client)
        yield Clients(clients)


async def check_addresses(clients: Clients) -> None:
    """Open a stream and poll at each address; a second poll at the same address is above the limit."""
    stream = "/events?topic=a"
    async with clients.at[ANN].stream("GET", stream) as first:
        assert first.status_code == 200
        assert await clients.addresses() == [ANN]
        async with clients.at[BEN].stream("GET", stream) as second:
            assert second.status_code == 200
            assert await clients.addresses() == [ANN, BEN]
    for client in clients.at.values():
        assert [(await client.get(POLL)).status_code for _ in range(2)] == [200, 429]


async def check_forged_headers(clients: Clients) -> None:
    """Send every forwarding header; the front replaces or removes them."""
    async with clients.at[ANN].stream("GET", "/events?topic=a", headers=FORGED) as stream:
        assert stream.status_code == 200
        assert await clients.addresses() == [ANN]
        created = await clients.at[ANN].post("/tasks", json={"kind": "import"}, headers=FORGED)
        assert created.headers["location"] == f"/tasks/{created.json()['id']}"


@pytest.mark.parametrize(
    "kind",
    # These two report a client's departure after half a minute.
    [pytest.param(k, marks=pytest.mark.soak) if k in (APACHE, VARNISH) else k for k in FRONTS],
    ids=[kind.program for kind in FRONTS],
)
async def test_clients_count_by_their_addresses_behind_a_front(kind: FrontKind, tmp_path: Path) -> None:
    async with (
        server_process(seconds=SECONDS, server__trusted_proxies=TRUSTED, **ONE_POLL) as node,
        front_of(kind, node.port, folder=tmp_path) as front,
        clients_of(front.url) as clients,
    ):
        await check_addresses(clients)
        while await clients.addresses():  # until the node notices the end of the streams
            pass
        await check_forged_headers(clients)


async def test_without_trust_all_clients_of_a_front_are_one(tmp_path: Path) -> None:
    async with (
        server_process(seconds=SECONDS, **ONE_POLL) as node,
        front_of(HAPROXY, node.port, folder=tmp_path) as front,
        clients_of(front.url) as clients,
        clients.at[ANN].stream("GET", "/events?topic=a") as stream,
    ):
        assert stream.status_code == 200
        assert await clients.addresses() == ["127.0.0.1"]
        assert (await clients.at[ANN].get(POLL)).status_code == 200
        assert (await clients.at[BEN].get(POLL)).status_code == 429


@asynccontextmanager
async def haproxy_of(node: ServerProcess, folder: Path, *, mode: str, send: str) -> AsyncIterator[str]:
    """Run HAProxy with PROXY headers in front of a node, and yield its URL."""
    [port] = free_ports(1)
    file = folder / "proxy-protocol.cfg"
    file.write_text(HAPROXY_TCP.format(mode=mode, send=send, port=port, node=node.port))
    url = f"{node.url.partition(':')[0]}://127.0.0.1:{port}"
    command: Sequence[str] = [HAPROXY.command, "-db", "-f", str(file)]
    async with proxying(command, {}, folder / "haproxy.log", url):
        yield url


@pytest.mark.parametrize(("mode", "send"), [("tcp", "send-proxy"), ("http", "send-proxy-v2")])
async def test_clients_count_by_their_addresses_behind_proxy_headers(
    mode: str, send: str, tmp_path: Path
) -> None:
    async with (
        server_process(
            seconds=SECONDS,
            server__trusted_proxies=TRUSTED,
            server__proxy_protocol="true",
            **ONE_POLL,
        ) as node,
        haproxy_of(node, tmp_path, mode=mode, send=send) as url,
        clients_of(url) as clients,
    ):
        await check_addresses(clients)
        async with httpx.AsyncClient() as without_header:
            with pytest.raises(httpx.TransportError):
                await without_header.get(f"{node.url}/health/live")


async def test_proxy_headers_precede_tls_that_the_node_ends(tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path)
    async with (
        server_process(
            seconds=SECONDS,
            server__trusted_proxies=TRUSTED,
            server__proxy_protocol="true",
            server__certfile=certificate,
            server__keyfile=certificate,
            **ONE_POLL,
        ) as node,
        haproxy_of(node, tmp_path, mode="tcp", send="send-proxy-v2") as url,
        clients_of(url) as clients,
    ):
        await check_addresses(clients)
