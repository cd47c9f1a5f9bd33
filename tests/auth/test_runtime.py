"""Tickets and revocations of a runtime: in Redis, in the file of its database, or in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from streamd.auth import AuthSettings
from streamd.database import StoreSettings
from streamd.errors import InvalidToken
from streamd.log.settings import LogSettings
from streamd.redis.settings import RedisSettings
from streamd.runtime import Runtime, RuntimeSettings
from tests.support.auth_clock import make_caller
from tests.support.redis_servers import new_prefix, shared_server
from tests.support.revocation_stores import until_revoked

ANN, TOKEN = make_caller("ann", ""), make_caller("", "token")


def settings_of(store: str = "", log: str = "", **auth: Any) -> RuntimeSettings:
    return RuntimeSettings(
        store=StoreSettings(url=store),
        log=LogSettings(url=log),
        redis=RedisSettings(prefix=new_prefix().strip("{}")),
        auth=AuthSettings(**auth),
    )


@asynccontextmanager
async def running(settings: RuntimeSettings) -> AsyncIterator[Runtime]:
    """Run a runtime while the block lasts."""
    runtime = Runtime.create(settings)
    async with trio.open_nursery() as nursery:
        await nursery.start(runtime.run)
        yield runtime
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("store", "log", "survives"),
    [
        ("sqlite:{}/a.db", "", True),
        ("sqlite:{}/a.db", "memory:", True),
        ("sqlite:{}/a.db", "sqlite:{}/b.db", True),
        ("memory:", "sqlite:{}/b.db", True),
        ("", "{redis}", True),
        ("{redis}", "{redis}", True),
        ("", "", False),
    ],
)
async def test_revocations_survive_a_restart_where_anything_does(
    tmp_path: Path, store: str, log: str, survives: bool
) -> None:
    redis = shared_server().url
    settings = settings_of(store.format(tmp_path, redis=redis), log.format(tmp_path, redis=redis))
    async with running(settings) as runtime:
        await runtime.revocations.revoke_user("ann")
        await runtime.revocations.revoke_token("token")
    async with running(settings) as runtime:
        revoked = [runtime.revocations.is_revoked(caller) for caller in (ANN, TOKEN, make_caller("bob", "x"))]
        assert revoked == [survives, survives, False]


async def test_nodes_on_one_redis_share_tickets_and_revocations() -> None:
    settings = settings_of(log=shared_server().url)
    async with running(settings) as one, running(settings) as other:
        ticket = await one.tickets.create(ANN)
        assert await other.tickets.redeem(ticket.text) == ANN
        with pytest.raises(InvalidToken):
            await one.tickets.redeem(ticket.text)
        await other.revocations.revoke_user("ann")
        with trio.fail_after(30):
            await until_revoked(one.revocations, ANN)


async def test_changed_settings_take_effect_while_it_runs() -> None:
    settings = settings_of()
    async with running(settings) as runtime:
        assert not runtime.revocations.is_revoked(ANN)
        changed = AuthSettings(revoked_users=["ann"], ticket_seconds=7)
        runtime.apply_settings(attrs.evolve(settings, auth=changed))
        assert runtime.revocations.is_revoked(ANN)
        assert runtime.tickets.settings is changed
