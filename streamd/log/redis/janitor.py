"""The janitor: drops what exceeds the bounds, on one node at a time, and frees the memory of it."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

import structlog
import trio
from coredis.exceptions import RedisError

from ...events import Event
from ...redis.lease import NodeLease
from ...redis.link import Disconnected, RedisLink
from ..retention import TopicBounds
from ..settings import LogSettings
from ..usage import WHOLE, StoredCounts, Usage
from . import scripts

DROPPED_RECORDS_MAX: Final = 100_000

_BUCKETS_AT_ONCE: Final = 256
_SWEEP_SECONDS: Final = 1.0
_TRIM_SECONDS: Final = 0.1
_DROPPED_AT_ONCE: Final = 500  # events by one script, some milliseconds
_MOVED_AT_ONCE: Final = 100  # entries
_FORGOTTEN_AT_ONCE: Final = 1000
_YOUNG_MS: Final = 10_000  # newer entries stay where tails read them
_SPARE_EVENTS: Final = 1000  # dropped, and not yet freed
_NEVER: Final = -1

_log = structlog.get_logger(__name__)


class Janitor:
    """Keeps the bounds of the log.

    Args:
        link: to the server.
        prefix: of the log's keys.
        settings: the bounds.
        age: the time for ages (ms), '' for the server's.

    Attributes:
        statistics: numbers of ``events``, ``bytes`` and ``topics``, as of the last second.
    """

    def __init__(self, link: RedisLink, prefix: str, settings: LogSettings, age: Callable[[], str]) -> None:
        self._link = link
        self._prefix = prefix
        self._settings = settings
        self._age = age
        self._lease = NodeLease(link, f"{prefix}:janitor")
        self._usage = Usage(settings)
        self._in_office = False
        self._stored = 0
        self.statistics: Mapping[str, int] = {"events": 0, "bytes": 0, "topics": 0}

    def apply_settings(self, settings: LogSettings) -> None:
        """Keep other bounds from now on."""
        self._settings = settings
        self._usage.apply_settings(settings)

    def add(self, event: Event) -> None:
        """Count an event of the tail."""
        if self._in_office:
            self._usage.add(event, int(self._age() or event.id[:13]))

    async def run(self) -> NoReturn:
        """Do the work until cancelled, whenever no other node does."""
        sweeps = 0
        while True:
            try:
                await self._refresh()
                if await self._take_office():
                    await self._drop_surplus()
                    await self._drop_old()
                    await self._compact()
                    sweeps += 1
                    if sweeps % 10 == 0:
                        await self.forget_keys()
                next_sweep = trio.current_time() + _SWEEP_SECONDS
                while trio.current_time() < next_sweep:
                    await trio.sleep(_TRIM_SECONDS)
                    if self._in_office and self._usage.exceeds:
                        await self._drop_surplus()
            except (Disconnected, RedisError) as error:
                _log.warning("log_not_trimmed", error=repr(error))
                self._in_office = False
                await trio.sleep(_SWEEP_SECONDS)
            except Exception:  # noqa: BLE001 - the server can still serve
                _log.exception("log_not_trimmed")
                self._in_office = False
                await trio.sleep(_SWEEP_SECONDS)

    async def trim(self) -> None:
        """Drop, free and count everything at once, whichever node is the janitor."""
        if not self._in_office:
            await self._count()
        await self._refresh()
        await self._drop_surplus()
        await self._drop_old()
        await self.forget_keys()
        await self._compact()
        await self._refresh()

    # --- the office -------------------------------------------------------------------------------

    async def _take_office(self) -> bool:
        """Become or stay the janitor; return False while another node is."""
        if not await self._lease.take():
            self._in_office = False
            return False
        if not self._in_office:
            await self._count()
        return True

    async def _count(self) -> None:
        """Load what each topic has; events that come meanwhile may count twice until they are looked at."""
        self._in_office = True
        self._usage.load(StoredCounts([], 0, 0))
        buckets = list(await self._link.call(b"SMEMBERS", f"{self._prefix}:topics"))
        for first in range(0, len(buckets), _BUCKETS_AT_ONCE):
            some = buckets[first : first + _BUCKETS_AT_ONCE]
            self._correct(await scripts.COUNTS.run(self._link, self._prefix, *some), 0)

    async def _refresh(self) -> None:
        names = (b"events", b"bytes", b"topics", b"stored")
        reply = await self._link.call(b"HMGET", f"{self._prefix}:meta", *names)
        events, size, topics, self._stored = (int(value or 0) for value in reply)
        self.statistics = {"events": events, "bytes": size, "topics": topics}
        self._usage.correct(StoredCounts([], events, size))

    def _correct(self, reply: Any, first: int) -> None:
        counts = [
            (reply[n].decode(errors="replace"), int(reply[n + 1]), int(reply[n + 2]), int(reply[n + 3]))
            for n in range(first, len(reply), 4)
        ]
        self._usage.correct(StoredCounts(counts, self._usage.events, self._usage.bytes))

    # --- the work ---------------------------------------------------------------------------------

    async def _drop_surplus(self) -> None:
        for excess in list(self._usage.excess()):
            if excess.topic == WHOLE:
                bounds = TopicBounds(self._settings.max_events, self._settings.max_bytes, 0)
            elif (usage := self._usage.topics.get(excess.topic)) is not None:
                bounds = usage.bounds
            else:
                continue
            await self._drop(excess.topic, bounds.max_events, bounds.max_bytes, _NEVER)

    async def _drop_old(self) -> None:
        now = self._age() or str(await self._server_ms())
        for excess in list(self._usage.find_old(list(self._usage.topics), int(now))):
            usage = self._usage.topics.get(excess.topic)
            if usage is not None:
                bounds = usage.bounds
                await self._drop(excess.topic, bounds.max_events, bounds.max_bytes, excess.until_ms)

    async def _server_ms(self) -> int:
        seconds, microseconds = await self._link.call(b"TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def _drop(self, topic: str, max_events: int, max_bytes: int, until_ms: int) -> None:
        more = True
        while more:
            reply = await scripts.DROP.run(
                self._link, self._prefix, topic, max_events, max_bytes, until_ms, _DROPPED_AT_ONCE
            )
            more = bool(reply[1])
            self._correct(reply, 2)
        await self._refresh()

    async def _compact(self) -> None:
        """Free dropped events, once they are as many as those that are kept."""
        for stream in (1, 2):
            while (await self._move(stream, stop_at_alive=True))[0] == _MOVED_AT_ONCE:
                pass
        await self._refresh()
        left = await self._entries(0) + await self._entries(1)  # to be moved once, not round and round
        while self._stored - self.statistics["events"] > max(_SPARE_EVENTS, self.statistics["events"]):
            young, _ = await self._move(2, stop_at_alive=False)
            old = 0
            if left > 0:
                old, _ = await self._move(1, stop_at_alive=False)
                left -= old
            await self._refresh()
            if not old and not young:
                break

    async def _entries(self, stream: int) -> int:
        return int(await self._link.call(b"XLEN", f"{self._prefix}:log:{stream}"))

    async def _move(self, stream: int, *, stop_at_alive: bool) -> tuple[int, int]:
        newest = "+" if stream == 1 else str(await self._server_ms() - _YOUNG_MS)
        taken, freed = await scripts.COMPACT.run(
            self._link, self._prefix, stream, _MOVED_AT_ONCE, newest, int(stop_at_alive)
        )
        return int(taken), int(freed)

    async def forget_keys(self) -> None:
        """Forget the idempotency keys that are too old or too many, in steps."""
        settings = self._settings
        while await scripts.FORGET.run(
            self._link, self._prefix, round(settings.idempotency_seconds * 1000), self._age(),
            settings.max_idempotency_keys, DROPPED_RECORDS_MAX, _FORGOTTEN_AT_ONCE,
        ):  # fmt: skip
            pass
