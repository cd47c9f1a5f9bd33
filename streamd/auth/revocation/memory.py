"""Revocations in memory, until the process ends."""

from collections.abc import Sequence

import trio

from .port import MAX_REVOCATIONS, Revocation, RevocationKind, RevocationReading, too_many_revocations


class MemoryRevocationStore:
    """Revocations in memory; see :class:`.port.RevocationStore`.

    Args:
        maximum: number of revocations of each kind.
    """

    is_shared: bool = False

    def __init__(self, maximum: int = MAX_REVOCATIONS) -> None:
        self._maximum = maximum
        self._stored: dict[RevocationKind, dict[str, Revocation]] = {kind: {} for kind in RevocationKind}

    async def add(self, revocations: Sequence[Revocation], now_ms: int) -> None:
        await self.drop(now_ms)
        for each in revocations:
            if each.is_expired(now_ms):
                continue
            of_kind = self._stored[each.kind]
            if each.name not in of_kind and len(of_kind) >= self._maximum:
                raise too_many_revocations(each.kind, self._maximum)
            of_kind[each.name] = each.merge(of_kind.get(each.name))

    async def read(self) -> RevocationReading:
        await trio.lowlevel.checkpoint()
        found = [each for of_kind in self._stored.values() for each in of_kind.values()]
        return RevocationReading(found, is_complete=True)

    async def drop(self, now_ms: int) -> None:
        await trio.lowlevel.checkpoint()
        for kind, of_kind in self._stored.items():
            self._stored[kind] = {name: each for name, each in of_kind.items() if not each.is_expired(now_ms)}
