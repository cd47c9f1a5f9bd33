"""A server whose callers stand in a table, with a client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import httpx

from streamd.auth import Access, AuthSettings, Caller, Grant, TaskScope
from streamd.settings import Settings
from streamd.testing import RunningServer
from tests.support.api import serving_api
from tests.support.callers import FakeProofs, selectors

PUBLISHER = Caller(user="p", grant=Grant(publish=selectors("a", "b/**", "merchant:7:**")))
READER = Caller(user="r", grant=Grant(subscribe=selectors("a")))
SHOP = Caller(user="s", merchant="7", grant=Grant(subscribe=selectors("a")))
ADMIN = Caller(user="root", grant=Grant(admin=True))
WORKER = Caller(user="w", grant=Grant(tasks=TaskScope.ALL))
ONE = Caller(user="one", grant=Grant(tasks=TaskScope.OWN))
TWO = Caller(user="two", grant=Grant(tasks=TaskScope.OWN))
CALLERS = {
    "publisher": PUBLISHER,
    "reader": READER,
    "shop": SHOP,
    "admin": ADMIN,
    "worker": WORKER,
    "one": ONE,
    "two": TWO,
}
COOKIE = "__Host-streamd"


@attrs.frozen
class AccessRig:
    """The server, a client, and the table of tokens."""

    server: RunningServer
    http: httpx.AsyncClient
    proofs: FakeProofs

    async def publish(self, *topics: str, private: bool = False, data: str = "") -> None:
        await self.server.streamd.publish(topics, data or " ".join(topics), private=private)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def serving(settings: Settings | None = None, *, anonymous: bool = False) -> AsyncIterator[AccessRig]:
    async with serving_api(settings) as api:
        proofs = FakeProofs(CALLERS, {"ticket": READER})
        runtime = api.server.streamd.runtime
        with_keys = AuthSettings(anonymous=anonymous, jwks_url="https://keys.test")
        access = Access(with_keys, proofs, proofs, proofs)
        access.reserved.add("sentiment/")
        runtime.access = access
        yield AccessRig(api.server, api.http, proofs)
