"""The storage that the settings name: the event log and the databases."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

import attrs

from .auth.revocation import RevocationStore
from .auth.revocation.memory import MemoryRevocationStore
from .auth.revocation.sqlite import SQLiteRevocationStore
from .auth.tickets import TicketStore
from .auth.tickets.memory import MemoryTicketStore
from .clock import SteadyClock
from .database import MEMORY, Database, StoreProbe, StoreSettings
from .database.settings import parse_storage_url
from .errors import ConfigError
from .log.memory import MemoryLog
from .log.port import Log
from .log.settings import LogSettings
from .log.sqlite import SQLiteLog
from .redis.address import REDIS_FORMS, is_redis_url, parse_redis_url
from .redis.settings import RedisSettings
from .unreadable import UnreadableRecords

if TYPE_CHECKING:
    from .log.redis import RedisLog

_MEMORY_URL: Final = "memory:"
_LOG_BYTES_STORED: Final = 2  # for each byte of log.max_bytes in the store's file: rows, indexes, free space


class Probe(Protocol):
    """Looks whether a storage works now."""

    async def run(self) -> NoReturn:
        """Probe until cancelled."""

    async def check(self) -> None:
        """Check that the storage works.

        Raises:
            Unavailable: it does not, with the reason as a sentence for clients.
        """


@attrs.frozen
class Storage:
    """The event log, and the databases to run for as long as it is used.

    Args:
        log: the event log.
        databases: in the order in which they open; the first keeps the clock.
        store: the one of them with tasks, orders and items.
        redis_log: the log, if it is in Redis: it must serve for as long as it is used.
        has_shared_store: the tasks, orders and items are in the same Redis, and ``store`` has none of them.
    """

    log: Log
    databases: Sequence[Database]
    store: Database
    redis_log: "RedisLog | None" = None
    has_shared_store: bool = False

    @property
    def unreadable(self) -> Sequence[UnreadableRecords]:
        """The counters of damaged records."""
        of_databases = [database.unreadable for database in self.databases]
        return [*of_databases, self.redis_log.unreadable] if self.redis_log is not None else of_databases

    def make_probes(self) -> Sequence[Probe]:
        """Build a probe of each storage."""
        probes: list[Probe] = [StoreProbe(database) for database in self.databases]
        if self.redis_log is not None:
            from .log.redis import RedisProbe

            probes.append(RedisProbe(self.redis_log))
        return probes

    def make_ticket_store(self) -> TicketStore:
        """Build the store of tickets: in Redis if the log is there, otherwise in memory."""
        if self.redis_log is None:
            return MemoryTicketStore()
        from .auth.tickets.redis import RedisTicketStore
        from .redis import RedisStore

        log = self.redis_log
        return RedisTicketStore(RedisStore(log.store_link, log.prefix, "the store of tickets"))

    def make_revocation_store(self) -> RevocationStore:
        """Build the store of revocations: in Redis if the log is there, in a file if there is one, or memory.

        No database may be open yet.
        """
        if self.redis_log is not None:
            from .auth.revocation.redis import RedisRevocationStore
            from .redis import RedisStore

            log = self.redis_log
            store = RedisStore(log.store_link, log.prefix, "the store of revocations")
            return RedisRevocationStore(store, log.unreadable)
        durable = self.databases[0]
        return MemoryRevocationStore() if durable.path == MEMORY else SQLiteRevocationStore(durable)

    def bound_store(self, store: StoreSettings, log: LogSettings) -> None:
        """Set the bound of the store's size, also after a change of the settings."""
        of_log = _LOG_BYTES_STORED * log.max_bytes if self.shared_log is not None else 0
        self.store.room.max_bytes = store.max_bytes + of_log

    @property
    def shared_log(self) -> SQLiteLog | None:
        """The log, if it is in the store's file, so that both share transactions."""
        return self.log if isinstance(self.log, SQLiteLog) and self.log.database is self.store else None


def make_storage(
    store: StoreSettings,
    log: LogSettings,
    redis: RedisSettings,
    clock: SteadyClock,
    given: Log | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Storage:
    """Build the storage; nothing is opened.

    Args:
        store: the settings of the store.
        log: the settings of the log.
        redis: the settings of Redis.
        clock: the clock of all databases.
        given: a log that a program has made itself; None for the one that ``log.url`` names.
        environment: the variables that may have the URL of Redis.

    Raises:
        ConfigError: an URL names no known log or store.
    """
    if given is None and is_redis_url(log.url or store.url):
        from .log.redis import RedisLog

        address = parse_redis_url(log.url or store.url, "log.url" if log.url else "store.url", environment)
        shared = RedisLog(address, log, prefix=redis.key_prefix)
        if is_redis_url(store.url):
            if parse_redis_url(store.url, "store.url", environment) != address:
                raise _other_redis()
            database = Database(clock=clock, keeps_clock=False)  # for what services keep on this node alone
            return Storage(shared, [database], database, shared, has_shared_store=True)
        return attrs.evolve(make_storage(store, log, redis, clock, shared), redis_log=shared)
    if is_redis_url(store.url):
        raise _other_redis()
    store_path = parse_url(store.url or _MEMORY_URL, "store.url")
    has_store_file = store_path != MEMORY
    events_path = None if given is not None else log_path(store, log)
    database = Database(
        store_path,
        synchronous=store.synchronous,
        clock=clock,
        keeps_clock=has_store_file or events_path is None,
    )
    if events_path is None:
        return Storage(given or MemoryLog(log), [database], database)
    if has_store_file and _is_same_file(store_path, events_path):
        return Storage(SQLiteLog(database, log), [database], database)
    own = Database(
        events_path,
        synchronous=store.synchronous,
        clock=clock,
        keeps_clock=not has_store_file,
        setting="log.url",
    )
    return Storage(SQLiteLog(own, log), [database, own] if has_store_file else [own, database], database)


def log_path(store: StoreSettings, log: LogSettings) -> str | None:
    """Return the path of the file that keeps the events; None for a log in memory, or in Redis.

    Raises:
        ConfigError: an URL names no known log.
    """
    if is_redis_url(log.url or store.url):
        return None
    path = parse_url(log.url or store.url or _MEMORY_URL, "log.url")
    return None if path == MEMORY else path


def _is_same_file(first: str, second: str) -> bool:
    """Return True for two names of one file, also through links; it may not exist yet."""
    if os.path.realpath(first) == os.path.realpath(second):
        return True
    try:
        return Path(first).samefile(second)
    except OSError:
        return False


def parse_url(url: str, setting: str) -> str:
    """Return the path of the file that an URL names, or :data:`~streamd.database.MEMORY`.

    Args:
        url: ``sqlite:PATH`` or ``memory:``.
        setting: the setting it comes from, for the error.

    Raises:
        ConfigError: it is neither.
    """
    path = parse_storage_url(url)
    if path is None:
        raise ConfigError(
            f"{setting} begins with {url.partition(':')[0][:20]!r}; known are sqlite:PATH, memory:, and"
            f" for Redis {REDIS_FORMS}",
            field=setting,
        )
    return path


def _other_redis() -> ConfigError:
    return ConfigError(
        "store.url names Redis, and log.url does not name the same: they change in one step",
        field="store.url",
    )
