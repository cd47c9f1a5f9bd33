"""A node that is killed takes its connections out of the census of the others."""

import signal

import attrs
import trio

from streamd.log.settings import LogSettings
from streamd.redis.settings import RedisSettings
from streamd.settings import Settings
from streamd.testing import open_stream
from tests.support.api import Api, serving_api
from tests.support.plain import NO_SERVICES
from tests.support.redis_servers import new_prefix, shared_server
from tests.support.server_process import server_process

GONE_SECONDS = 30


async def test_the_connections_of_a_killed_node_disappear() -> None:
    url, prefix = shared_server().url, new_prefix().strip("{}")
    settings = attrs.evolve(
        Settings(**NO_SERVICES), log=LogSettings(url=url), redis=RedisSettings(prefix=prefix)
    )
    async with (
        serving_api(settings) as api,
        server_process("--log", url, redis__prefix=prefix) as killed,
        open_stream(killed.url, topics=["a"], client_id="far") as far,
        open_stream(api.server.url, topics=["a"], client_id="near") as near,
    ):
        await far.next_control("connected")
        await near.next_control("connected")
        with trio.fail_after(GONE_SECONDS):
            while await client_ids(api) != {"far", "near"}:  # the nodes may not have heard of each other yet
                pass
        assert (await api.http.get("/connections/far")).status_code == 200
        killed.program.signal(signal.SIGKILL)
        await killed.program.ended()
        with trio.fail_after(GONE_SECONDS):
            while (await api.http.get("/connections/far")).status_code != 404:
                pass
        assert await client_ids(api) == {"near"}
        assert (await api.http.get("/connections")).json()["active"] == 1


async def client_ids(api: Api) -> set[str]:
    """Return the client ids of the listed connections."""
    listing = (await api.http.get("/connections")).json()
    return {each["client_id"] for each in listing["connections"]}
