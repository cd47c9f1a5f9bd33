"""A lease in Redis: one node at a time does a work that all could do."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import structlog
import trio
from coredis.exceptions import RedisError

from .link import Disconnected, RedisLink
from .script import Script

LEASE_SECONDS: Final = 10.0
"""After the end of its holder, another node takes a lease within about this time (s)."""

_RELEASE_SECONDS: Final = 1.0

_ALWAYS: Final = "allow-oom"  # a few bytes, without which nothing would free memory
_TAKE: Final = Script(
    """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
""",
    _ALWAYS,
)
_RELEASE: Final = Script(
    "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end", _ALWAYS
)

_log = structlog.get_logger(__name__)


class NodeLease:
    """The right to do a work, held by one node at a time.

    The holder's time counts from before its last renewal was sent, and the server's from its receipt: the
    holder stops before the server gives the lease to another.

    Args:
        link: to the server.
        key: of the lease.
        seconds: time for which a renewal is valid (s).
    """

    def __init__(self, link: RedisLink, key: str, seconds: float = LEASE_SECONDS) -> None:
        self._link = link
        self._key = key
        self._seconds = seconds
        self._node = uuid.uuid4().hex
        self._valid_until = 0.0

    async def take(self) -> bool:
        """Take or renew the lease; return False while another node has it.

        Raises:
            Disconnected, RedisError: see :meth:`.RedisLink.call`.
        """
        began = trio.current_time()
        taken = await _TAKE.run(self._link, self._key, self._node, round(self._seconds * 1000))
        self._valid_until = began + self._seconds if taken else began
        return bool(taken)

    async def release(self) -> None:
        """Give the lease back, if this node has it.

        Raises:
            Disconnected, RedisError: see :meth:`.RedisLink.call`.
        """
        await _RELEASE.run(self._link, self._key, self._node)

    async def hold(self, work: Callable[[], Awaitable[object]]) -> NoReturn:
        """Run a work whenever this node has the lease, until cancelled.

        Losing the lease cancels the work. Work that ends begins again with the next renewal. Cancelling gives
        the lease back.
        """
        while True:
            if await self._try_take():
                try:
                    await self._run(work)
                finally:
                    await self._try_release()
            await trio.sleep(self._seconds / 3)

    async def _run(self, work: Callable[[], Awaitable[object]]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = self._valid_until
            nursery.start_soon(self._renew, nursery.cancel_scope)
            await work()
            nursery.cancel_scope.cancel()

    async def _renew(self, work_scope: trio.CancelScope) -> None:
        while True:
            await trio.sleep(self._seconds / 3)
            try:
                taken = await self.take()
            except (Disconnected, RedisError):
                continue  # the work ends when the last renewal does
            if not taken:
                _log.warning("lease_lost", lease=self._key)
                work_scope.cancel()
                return
            work_scope.deadline = self._valid_until

    async def _try_take(self) -> bool:
        try:
            return await self.take()
        except (Disconnected, RedisError) as error:
            _log.debug("lease_not_taken", lease=self._key, error=repr(error))
            return False

    async def _try_release(self) -> None:
        with trio.move_on_after(_RELEASE_SECONDS, shield=True):
            try:
                await self.release()
            except (Disconnected, RedisError) as error:
                _log.debug("lease_not_released", lease=self._key, error=repr(error))
