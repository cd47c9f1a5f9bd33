"""Reads and changes of a store in Redis, with errors for its callers.

A change has an id, under which the server remembers its reply for two minutes. If the connection is lost
before the reply, the change is sent again when the connection is back, and made once::

    change ── reply ─────────────────────────────────────────> the reply
       '───── lost ── connected again within 10 s ── sent again ──> the same reply
                '──── not connected ───────────────────────────> OutcomeUnknown
"""

import uuid
from typing import Any, Final

import structlog
import trio
from coredis.exceptions import ReadOnlyError, RedisError

from ..errors import InsufficientStorage, OutcomeUnknown, Unavailable
from .link import Argument, Disconnected, RedisLink
from .script import Script

_TRY_SECONDS: Final = 10.0  # far less than the time for which a reply is remembered
_RETRY_SECONDS: Final = 1.0
_RETRY_FULL_SECONDS: Final = 5.0

_ONCE: Final = """
local change_record = KEYS[1] .. ':change:' .. table.remove(ARGV, 1)
local known_reply = redis.call('GET', change_record)
if known_reply then return cmsgpack.unpack(known_reply)[1] end
local function make_change()
%s
end
local reply = make_change() or false
redis.call('SET', change_record, cmsgpack.pack({ reply }), 'PX', 120000)
return reply
"""

_log = structlog.get_logger(__name__)


class ChangeScript(Script):
    """A script whose second run with the same id of a change does nothing, and has the reply of the first.

    Args:
        body: Lua that returns a reply. ``KEYS[1]`` is the prefix, and ``ARGV`` has the arguments.
        frees: True for a change that frees memory: it is also made while the server's memory is full.
    """

    def __init__(self, body: str, *, frees: bool = False) -> None:
        super().__init__(_ONCE % body, "allow-oom" if frees else "")


class ReadScript(Script):
    """A script that changes nothing: it also runs while the server's memory is full.

    Args:
        body: as that of a :class:`ChangeScript`.
    """

    def __init__(self, body: str) -> None:
        super().__init__(body, "no-writes")


class RedisStore:
    """The way to the keys of one prefix.

    Args:
        link: to the server.
        prefix: of all keys, which contains their hash tag.
        name: of the store in the sentences of errors.
    """

    def __init__(self, link: RedisLink, prefix: str, name: str = "the store") -> None:
        self.link: Final = link
        self.prefix: Final = prefix
        self.name: Final = name

    def key(self, name: str) -> str:
        """Return the key of a name."""
        return f"{self.prefix}:{name}"

    async def read(self, script: Script, *arguments: Argument) -> Any:
        """Run a script that reads, or that does no harm when it runs twice, and return its reply.

        Raises:
            Unavailable: there is no connection, or the server cannot reply now.
        """
        try:
            return await script.run(self.link, self.prefix, *arguments)
        except Disconnected as error:
            raise self.unreachable() from error
        except RedisError as error:
            raise self.refused(error) from error

    async def change(self, script: ChangeScript, *arguments: Argument) -> Any:
        """Run a script that writes, once, and return its reply.

        Cancelling takes effect before it is sent, or not at all.

        Raises:
            Unavailable: nothing was changed.
            OutcomeUnknown: the connection was lost before the reply, and did not come back in time.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        with trio.CancelScope(shield=True):
            return await self._change(script, uuid.uuid4().hex, *arguments)

    async def _change(self, script: ChangeScript, *arguments: Argument) -> Any:
        deadline, sent = trio.current_time() + _TRY_SECONDS, False
        while True:
            try:
                return await script.run(self.link, self.prefix, *arguments)
            except Disconnected as error:
                sent = sent or error.sent
                if not sent:
                    raise self.unreachable() from error
                with trio.move_on_at(deadline) as scope:
                    await self.link.connected.wait()
                    await trio.lowlevel.checkpoint()
                if scope.cancelled_caught:
                    raise self.unknown() from error
            except RedisError as error:
                raise (self.unknown() if sent else self.refused(error)) from error

    # --- errors -----------------------------------------------------------------------------------

    def unreachable(self) -> Unavailable:
        """Build the error for a command that was not sent, or whose loss does no harm."""
        return Unavailable(f"{self.name} is not reachable", retry_after_seconds=_RETRY_SECONDS)

    def unknown(self) -> OutcomeUnknown:
        """Build the error for a change that may have been made, or not."""
        return OutcomeUnknown(
            f"the connection to {self.name} was lost meanwhile: the change may have been made, or not"
        )

    def refused(self, error: RedisError) -> Unavailable:
        """Build the error for a command that the server refused, and log it."""
        if "OOM" in str(error):
            return InsufficientStorage(
                f"{self.name} has no memory left", retry_after_seconds=_RETRY_FULL_SECONDS
            )
        if isinstance(error, ReadOnlyError):
            self.link.close()  # another server is the primary now
            return Unavailable(f"{self.name} is no primary now", retry_after_seconds=_RETRY_SECONDS)
        _log.error("redis_command_failed", store=self.name, error=repr(error))
        return Unavailable(f"{self.name} failed", retry_after_seconds=_RETRY_SECONDS)
