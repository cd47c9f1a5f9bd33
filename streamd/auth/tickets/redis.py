"""Tickets in Redis, for several nodes.

All times that decide are those of the server. One script takes a ticket, so of nodes that redeem it at the
same moment one has it. A restart or failover of Redis that loses the last writes may bring a redeemed ticket
back for the rest of its lifetime.
"""

from collections.abc import Callable
from importlib.resources import files
from typing import Final

from ...redis import RedisStore, Script
from .port import TicketLimits, too_many_of_owner, too_many_tickets

_FOLDER: Final = files(__package__) / "lua"


def _body(name: str) -> str:
    return "".join((_FOLDER / f"{part}.lua").read_text() for part in ("common", name))


_PUT: Final = Script(_body("put"))
_TAKE: Final = Script(_body("take"), "allow-oom")  # it frees memory


class RedisTicketStore:
    """Tickets in Redis; see :class:`.port.TicketStore`.

    Args:
        store: the way to the keys.
        limits: maximum numbers of tickets.
        now_ms: the clock (ms since 1970); None for the server's, as all nodes should have it.
    """

    def __init__(
        self,
        store: RedisStore,
        limits: TicketLimits | None = None,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self._store = store
        self._limits = limits or TicketLimits()
        self._now_ms = now_ms

    async def put(self, digest: str, record: bytes, owner: str, seconds: float) -> None:
        lifetime_ms = max(1, int(seconds * 1000))
        limits = self._limits
        # A ticket whose reply is lost is never redeemed: sending it again would make no difference.
        reply = await self._store.read(
            _PUT, self._now(), lifetime_ms, digest, owner, record, limits.of_owner, limits.in_all
        )
        if reply == b"owner":
            raise too_many_of_owner(limits, seconds)
        if reply == b"all":
            raise too_many_tickets(limits, seconds)

    async def take(self, digest: str) -> bytes | None:
        record: bytes | None = await self._store.read(_TAKE, self._now(), digest)
        return record

    def _now(self) -> int | str:
        return "" if self._now_ms is None else self._now_ms()
