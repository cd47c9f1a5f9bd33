"""The section ``[store]``."""

from typing import Final

import attrs

from ..config import Check, one_of, positive, setting, tuning
from ..redis.address import is_redis_url

MEMORY: Final = ":memory:"
"""The path of a database without a file."""


def parse_storage_url(url: str) -> str | None:
    """Return the path that ``sqlite:PATH`` names, :data:`MEMORY` for ``memory:``, None for other texts."""
    scheme, _, path = url.partition(":")
    if scheme == "memory" and not path:
        return MEMORY
    return path if scheme == "sqlite" and path not in ("", MEMORY) else None


def is_storage_url(url: str) -> bool:
    """Return True for ``sqlite:PATH``, ``memory:`` and an empty text."""
    return not url or parse_storage_url(url) is not None


def _is_store_url(url: str) -> bool:
    return is_storage_url(url) or is_redis_url(url)


@attrs.frozen(kw_only=True)
class StoreSettings:
    """The database of tasks, orders and items."""

    url: str = setting(
        "",
        "sqlite:PATH keeps them in a file that one streamd uses alone; memory: in this process only; a URL "
        "of Redis, as in log.url, in the Redis that has the log, too. Empty: there if log.url names it; else "
        "sqlite:streamd.db in the working directory for `streamd serve`, memory: for an application of your "
        "own.",
        Check("sqlite:PATH, memory:, a URL of Redis or empty", _is_store_url),
    )
    synchronous: str = setting(
        "normal",
        "Durability of a write: normal survives a crash of the process, full that of the machine, too.",
        one_of("normal", "full"),
    )
    max_bytes: int = tuning(
        1_073_741_824,
        "Maximum size of the stored tasks, orders and items, on disk or in memory (bytes). Where the log is "
        "in the same file, twice log.max_bytes is added. Beyond it, new ones are answered 503 until others "
        "have expired. Redis has its own bound, maxmemory.",
        positive,
    )
