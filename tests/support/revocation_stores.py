"""The implementations of the store of revocations, each opened by a context manager."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from streamd.auth import AuthSettings, Caller, Revocations
from streamd.auth.revocation import MAX_REVOCATIONS, RevocationStore
from streamd.auth.revocation.memory import MemoryRevocationStore
from streamd.auth.revocation.redis import RedisRevocationStore
from streamd.auth.revocation.sqlite import SQLiteRevocationStore
from streamd.database import MEMORY, Database
from streamd.redis import RedisLink, RedisStore
from tests.support.auth_clock import AuthClock
from tests.support.redis_links import open_link
from tests.support.redis_servers import new_prefix
from tests.support.task_stores import open_database


@attrs.frozen
class Place:
    """A place where revocations survive the process: a folder for a file, and a prefix of keys.

    Args:
        folder: for the file.
        prefix: of the keys.
        maximum: number of revocations of each kind.
    """

    folder: Path
    prefix: str = attrs.field(factory=new_prefix)
    maximum: int = MAX_REVOCATIONS


OpenRevocations = Callable[[Place], AbstractAsyncContextManager[RevocationStore]]


@asynccontextmanager
async def _memory_revocations(place: Place) -> AsyncIterator[RevocationStore]:
    yield MemoryRevocationStore(place.maximum)


@asynccontextmanager
async def _open_sqlite(path: str, place: Place) -> AsyncIterator[RevocationStore]:
    database = Database(path)
    store = SQLiteRevocationStore(database, place.maximum)
    async with open_database(database):
        yield store


def _sqlite_memory(place: Place) -> AbstractAsyncContextManager[RevocationStore]:
    return _open_sqlite(MEMORY, place)


def _sqlite_file(place: Place) -> AbstractAsyncContextManager[RevocationStore]:
    return _open_sqlite(str(place.folder / "revocations.db"), place)


@asynccontextmanager
async def open_redis_revocations(
    place: Place, link: RedisLink | None = None
) -> AsyncIterator[RedisRevocationStore]:
    """Open the store of one node; by default on the shared server."""
    async with open_link(link) as opened:
        yield RedisRevocationStore(RedisStore(opened, place.prefix), maximum=place.maximum)


DURABLE_REVOCATIONS: dict[str, OpenRevocations] = {
    "sqlite:file": _sqlite_file,
    "redis": open_redis_revocations,
}
REVOCATION_STORES: dict[str, OpenRevocations] = {
    "memory": _memory_revocations,
    "sqlite:memory": _sqlite_memory,
    **DURABLE_REVOCATIONS,
}


@asynccontextmanager
async def run_revocations(
    store: RevocationStore, clock: AuthClock, **settings: Any
) -> AsyncIterator[Revocations]:
    """Run the revocations of one application while the block lasts."""
    revocations = Revocations(store, AuthSettings(**settings), clock)
    async with trio.open_nursery() as nursery:
        await nursery.start(revocations.run)
        yield revocations
        nursery.cancel_scope.cancel()


async def until_revoked(revocations: Revocations, caller: Caller) -> None:
    """Wait until a caller is revoked."""
    version = revocations.version
    while not revocations.is_revoked(caller):
        version = await revocations.wait_for_change(version)
