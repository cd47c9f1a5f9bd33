"""Revocations in Redis, for several nodes.

Each change has a number. A node reads the revocations whose last change has a higher number than those that
it has read, so a look without news is one short reply, and no message can be lost. It reads all of them on
each new connection, whose server may have lost some, and each minute, so that nothing that it has missed by
then is missed for long.
"""

import math
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any, Final

import trio

from ...redis import ChangeScript, ReadScript, RedisStore, Script
from ...unreadable import DAMAGE, UnreadableRecords, as_text
from .port import (
    MAX_REVOCATIONS,
    Revocation,
    RevocationKind,
    RevocationReading,
    expired_until,
    too_many_revocations,
)

_FOLDER: Final = files(__package__) / "lua"
_AT_ONCE: Final = 500  # revocations that one script reads, adds or drops: a few milliseconds
_COMPLETE_SECONDS: Final = 60.0


def _body(name: str) -> str:
    return "".join((_FOLDER / f"{part}.lua").read_text() for part in ("common", name))


_ADD: Final = ChangeScript(_body("add"), frees=True)  # a token must not stay valid because memory is full
_READ: Final = ReadScript(_body("read"))
_DROP: Final = Script(_body("drop"), "allow-oom")


class RedisRevocationStore:
    """Revocations in Redis; see :class:`.port.RevocationStore`.

    Args:
        store: the way to the keys.
        unreadable: the counter of damaged records.
        maximum: number of revocations of each kind.
    """

    is_shared: bool = True

    def __init__(
        self,
        store: RedisStore,
        unreadable: UnreadableRecords | None = None,
        maximum: int = MAX_REVOCATIONS,
    ) -> None:
        self._store = store
        self._unreadable = unreadable or UnreadableRecords()
        self._maximum = maximum
        self._read_until = 0  # the number of the last change that was read
        self._read_on: trio.Event | None = None  # stands for the connection of the last reading
        self._complete_at = -math.inf  # time of the next complete reading

    async def add(self, revocations: Sequence[Revocation], now_ms: int) -> None:
        for first in range(0, len(revocations), _AT_ONCE):
            arguments: list[str | int] = []
            for each in revocations[first : first + _AT_ONCE]:
                arguments += [each.kind.value, each.name, each.revoked_at_ms, each.until_ms]
            reply = await self._store.change(_ADD, expired_until(now_ms), self._maximum, *arguments)
            if reply != b"ok":
                raise too_many_revocations(RevocationKind(reply.decode()), self._maximum)

    async def read(self) -> RevocationReading:
        connected = self._store.link.connected
        is_complete = connected is not self._read_on or trio.current_time() >= self._complete_at
        found: list[Revocation] = []
        after = 0 if is_complete else self._read_until
        while True:
            last, *fields = await self._store.read(_READ, after, _AT_ONCE)
            if last < after:  # the server has lost the last changes
                is_complete, after, found = True, 0, []
                continue
            found += self._decode(fields)
            if len(fields) < 4 * _AT_ONCE:
                break
            after = fields[-4]
        self._read_until, self._read_on = last, connected
        if is_complete:
            self._complete_at = trio.current_time() + _COMPLETE_SECONDS
        return RevocationReading(found, is_complete)

    def _decode(self, fields: Sequence[Any]) -> Iterator[Revocation]:
        for _, kind, name, value in zip(*[iter(fields)] * 4, strict=True):
            try:
                revoked_at_ms, until_ms = map(int, value.split())
                yield Revocation(RevocationKind(kind.decode()), name.decode(), revoked_at_ms, until_ms)
            except DAMAGE as error:
                self._unreadable.report("revocation", as_text(name), error)

    async def drop(self, now_ms: int) -> None:
        while await self._store.read(_DROP, expired_until(now_ms), _AT_ONCE) == _AT_ONCE:
            pass
