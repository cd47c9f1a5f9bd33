"""Two servers with one log in Redis hold a caller's rate together."""

from contextlib import AsyncExitStack

import httpx

from streamd.app import create_app
from streamd.limits import LimitSettings
from streamd.log.settings import LogSettings
from streamd.redis.settings import RedisSettings
from streamd.settings import Settings
from streamd.testing import run_server
from tests.support.addressed import give_addresses
from tests.support.redis_servers import new_prefix, shared_server

BURST = 20
BATCH = 2


async def test_a_rate_holds_over_two_servers() -> None:
    settings = Settings(
        log=LogSettings(url=shared_server().url),
        redis=RedisSettings(prefix=new_prefix().strip("{}")),
        limits=LimitSettings(publish_per_second=0.001, publish_burst=BURST),
    )
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(2):
            app = give_addresses(create_app(settings))
            server = await stack.enter_async_context(run_server(settings, app=app))
            client = httpx.AsyncClient(base_url=server.url, timeout=30)
            clients.append(await stack.enter_async_context(client))
        statuses = [
            (await client.post("/events", json={"topic": "a"})).status_code
            for _ in range(BURST)
            for client in clients
        ]
        assert set(statuses) == {201, 429}
        assert BURST - 2 * BATCH <= statuses.count(201) <= BURST + 2 * 2 * BATCH
        for client in clients:
            refused = await client.post("/events", json={"topic": "a"})
            assert refused.status_code == 429
            assert int(refused.headers["Retry-After"]) > 0
            other = {"Test-Address": "192.0.2.200"}
            assert (await client.post("/events", json={"topic": "a"}, headers=other)).status_code == 201
