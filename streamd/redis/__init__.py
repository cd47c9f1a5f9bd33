"""Redis: the server's address, connections that come back by themselves, and scripts.

The commands go over coredis' connections, below its client: a call of the client costs 0.6 ms of CPU, one of
a connection 0.1 ms, and calls made in one pass of the loop leave in one write, for 0.03 ms each.

The names are imported on first use: coredis takes 0.2 s and 14 MB, which other logs need not pay.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .address import RedisAddress, is_redis_url, parse_redis_url
    from .lease import NodeLease
    from .link import Disconnected, RedisLink
    from .script import Script
    from .store import ChangeScript, ReadScript, RedisStore

__all__ = [
    "ChangeScript",
    "Disconnected",
    "NodeLease",
    "ReadScript",
    "RedisAddress",
    "RedisLink",
    "RedisStore",
    "Script",
    "is_redis_url",
    "parse_redis_url",
]

_MODULES: Final = {
    "address": ("RedisAddress", "is_redis_url", "parse_redis_url"),
    "lease": ("NodeLease",),
    "link": ("Disconnected", "RedisLink"),
    "script": ("Script",),
    "store": ("ChangeScript", "ReadScript", "RedisStore"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
