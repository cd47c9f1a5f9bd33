"""Checks of a Redis server: its version, its policy when memory is full, its persistence."""

from typing import Any, Final

import structlog
from coredis.exceptions import RedisError

from ..errors import ConfigError
from .link import RedisLink

_VERSION_MIN: Final = 7
_POLICY: Final = "noeviction"

_log = structlog.get_logger(__name__)


async def check_server(link: RedisLink, setting: str) -> None:
    """Check the server, and warn of what it would lose.

    Args:
        link: to the server.
        setting: the setting that names it, for errors.

    Raises:
        ConfigError: it is too old, or drops keys when its memory is full.
        Disconnected: the connection was lost.
    """
    info = (await link.call(b"INFO", b"server")).decode()
    found = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    # Valkey names its own version besides the one of Redis that it is compatible with.
    version = found.get("redis_version", "")
    if not version.partition(".")[0].isdigit() or int(version.partition(".")[0]) < _VERSION_MIN:
        raise ConfigError(
            f"{setting} names Redis {version or 'of an unknown version'}; streamd needs"
            f" Redis {_VERSION_MIN} or later, or Valkey",
            field=setting,
        )
    policy = await _configured(link, "maxmemory-policy")
    if policy is None:
        _log.warning(
            "redis_not_checked",
            reason="CONFIG is forbidden; make sure that maxmemory-policy is noeviction, and of persistence",
        )
        return
    if policy != _POLICY:
        raise ConfigError(
            f"{setting} names a server whose maxmemory-policy is {policy}: it would drop events and tasks;"
            f" correct it in its configuration, and by `redis-cli CONFIG SET maxmemory-policy {_POLICY}`",
            field=setting,
        )
    appends, saves = await _configured(link, "appendonly"), await _configured(link, "save")
    if appends == "no":
        _log.warning(
            "redis_may_lose_events",
            reason="appendonly is no: a crash of the server loses what came after its last snapshot"
            if saves
            else "appendonly is no and save is empty: a restart of the server loses everything",
            command="redis-cli CONFIG SET appendonly yes",
        )


async def _configured(link: RedisLink, name: str) -> str | None:
    """Return a setting of the server; None if it does not tell."""
    try:
        reply: Any = await link.call(b"CONFIG", b"GET", name)
    except RedisError:  # forbidden by its access list, or renamed
        return None
    value = (reply or {}).get(name.encode())
    return None if value is None else str(value.decode())
