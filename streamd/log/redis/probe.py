"""The probe of the log in Redis: can it be appended to and read now?"""

from typing import Final, NoReturn

import structlog
import trio
from coredis.exceptions import RedisError

from ...errors import Unavailable
from ...redis.link import Disconnected
from .log import RedisLog

_FRESH_SECONDS: Final = 1.0  # a result is this old at most: clients that ask more often cost nothing
_TIMEOUT_SECONDS: Final = 2.0  # probes of orchestrators often wait no longer

_log = structlog.get_logger(__name__)


class RedisProbe:
    """Writes something to the server when it is asked, at most once a second.

    Args:
        log: the log.
    """

    def __init__(self, log: RedisLog) -> None:
        self._log = log
        self._lock = trio.Lock()
        self._probed_at = -_FRESH_SECONDS
        self._reason = ""  # empty: the server works

    async def run(self) -> NoReturn:
        """Do nothing until cancelled."""
        await trio.sleep_forever()
        raise AssertionError("it sleeps until cancelled")

    async def check(self) -> None:
        """Check that the server works, by a result that is at most a second old.

        Raises:
            Unavailable: it does not, with the reason as a sentence for clients.
        """
        async with self._lock:
            if trio.current_time() - self._probed_at >= _FRESH_SECONDS:
                self._note(await self._probe())
                self._probed_at = trio.current_time()
        if self._reason:
            raise Unavailable(f"the log cannot be used: {self._reason}", retry_after_seconds=_FRESH_SECONDS)

    async def _probe(self) -> str:
        if not self._log.is_connected:
            return "Redis is not reachable"
        with trio.move_on_after(_TIMEOUT_SECONDS):
            try:
                await self._log.try_out()
            except Disconnected:
                return "Redis is not reachable"
            except RedisError as error:
                return "Redis has no memory left" if "OOM" in str(error) else "Redis refuses to write"
            return ""
        return "Redis does not answer"

    def _note(self, reason: str) -> None:
        """Keep a result, and log each change."""
        if reason and reason != self._reason:
            _log.error("log_unusable", reason=reason, address=str(self._log.address))
        elif self._reason and not reason:
            _log.info("log_usable_again")
        self._reason = reason
