"""The storage that the settings name: the event log and the databases."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from .clock import SteadyClock
from .database import MEMORY, Database, StoreSettings
from .database.settings import parse_storage_url
from .errors import ConfigError
from .log.memory import MemoryLog
from .log.port import Log
from .log.settings import LogSettings
from .log.sqlite import SQLiteLog

_MEMORY_URL: Final = "memory:"


@attrs.frozen
class Storage:
    """The event log, and the databases to run for as long as it is used.

    Args:
        log: the event log.
        databases: in the order in which they open; the first keeps the clock.
        store: the one of them with tasks, orders and items.
    """

    log: Log
    databases: Sequence[Database]
    store: Database

    @property
    def shared_log(self) -> SQLiteLog | None:
        """The log, if it is in the store's file, so that both share transactions."""
        return self.log if isinstance(self.log, SQLiteLog) and self.log.database is self.store else None


def make_storage(
    store: StoreSettings, log: LogSettings, clock: SteadyClock, given: Log | None = None
) -> Storage:
    """Build the storage; nothing is opened.

    Args:
        store: the settings of the store.
        log: the settings of the log.
        clock: the clock of all databases.
        given: a log that a program has made itself; None for the one that ``log.url`` names.

    Raises:
        ConfigError: an URL names no known log or store.
    """
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
    """Return the path of the file that keeps the events; None for a log in memory.

    Raises:
        ConfigError: an URL names no known log.
    """
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
        raise ConfigError(f"{setting} is {url!r}; this build knows sqlite:PATH and memory:", field=setting)
    return path
