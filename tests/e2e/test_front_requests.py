"""Requests as the reverse proxies pass them on to nodes: their headers, and repeats after a failure."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import attrs
import httpx
import pytest

from tests.support.certificates import trusting
from tests.support.fake_server import Exchange, FakeServer, Request, respond, running
from tests.support.fronts import CADDY, FRONTS, HAPROXY, NGINX, VARNISH, Front, FrontKind, front_of

NODES = 3
HEALTH = "/health/ready"
FORGED = {
    "Host": "shop.example:8443",
    "X-Forwarded-For": "192.0.2.7",
    "X-Forwarded-Proto": "gopher",
    "Last-Event-ID": "1700000000000-000001",
}
on_each_front = pytest.mark.parametrize("kind", FRONTS, ids=lambda kind: kind.program)


@attrs.define
class Cluster:
    """A front of nodes that are ready, and hang up on the first requests for other paths.

    Attributes:
        front: the proxy.
        failures: number of requests to hang up on, before the others are answered.
        requests: those of all nodes, without checks of their health.
    """

    failures: int = 0
    front: Front | None = None
    requests: list[Request] = attrs.field(factory=list)

    @property
    def url(self) -> str:
        assert self.front is not None
        return self.front.url

    @property
    def tls_url(self) -> str:
        assert self.front is not None
        return self.front.tls_url

    async def answer(self, exchange: Exchange) -> None:
        """Answer a request to one of the nodes."""
        if exchange.request.path != HEALTH:
            self.requests.append(exchange.request)
            if len(self.requests) <= self.failures:
                await exchange.hang_up()
                return
        await respond()(exchange)


@asynccontextmanager
async def cluster(
    kind: FrontKind, folder: Path, *, failures: int = 0, tls: bool = False
) -> AsyncIterator[Cluster]:
    made = Cluster(failures)
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(running(FakeServer(made.answer))) for _ in range(NODES)]
        ports = [node.port for node in nodes]
        made.front = await stack.enter_async_context(front_of(kind, *ports, folder=folder, tls=tls))
        yield made


@on_each_front
async def test_a_node_sees_host_address_and_scheme_of_the_client(kind: FrontKind, tmp_path: Path) -> None:
    urls = {"http": "url", "https": "tls_url"} if kind.has_tls else {"http": "url"}
    async with (
        cluster(kind, tmp_path, tls=kind.has_tls) as system,
        httpx.AsyncClient(verify=trusting()) as http,
    ):
        for attribute in urls.values():
            url = getattr(system, attribute)
            assert (await http.get(f"{url}/events", headers=FORGED)).status_code == 200
        for request, scheme in zip(system.requests, urls, strict=True):
            assert request.headers["host"] == FORGED["Host"]
            assert request.headers["x-forwarded-for"] == "127.0.0.1"
            assert request.headers["x-forwarded-proto"] == scheme
            assert request.headers["last-event-id"] == FORGED["Last-Event-ID"]


@on_each_front
async def test_a_publish_that_was_sent_is_not_repeated(kind: FrontKind, tmp_path: Path) -> None:
    async with cluster(kind, tmp_path, failures=1) as system, httpx.AsyncClient() as http:
        answer = await http.post(f"{system.url}/events", json={"topic": "a", "data": "x"})
        assert answer.status_code == 502
        assert [request.method for request in system.requests] == ["POST"]


@pytest.mark.parametrize("kind", [NGINX, HAPROXY, CADDY, VARNISH], ids=lambda kind: kind.program)
async def test_a_read_that_was_not_answered_is_repeated(kind: FrontKind, tmp_path: Path) -> None:
    async with cluster(kind, tmp_path, failures=1) as system, httpx.AsyncClient(timeout=30) as http:
        assert (await http.get(f"{system.url}/events/poll?topic=a")).status_code == 200
        assert [request.path for request in system.requests] == ["/events/poll"] * 2
