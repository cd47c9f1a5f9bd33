"""The scripts of stores that share the connections and the keys of a log."""

from collections.abc import Callable, Sequence
from typing import Any

from coredis.exceptions import RedisError

from ...events import Draft
from ...redis.link import Argument, Disconnected, RedisLink
from ...redis.script import Script
from .appending import ScriptQueue, unavailable
from .arguments import keyless_arguments


class RedisAccess:
    """Runs scripts.

    Args:
        prefix: of all keys.
        link: for scripts that only read.
        queue: for the others.
        now, age: the clocks for ids and ages (ms), '' for the server's.
    """

    def __init__(
        self, prefix: str, link: RedisLink, queue: ScriptQueue, now: Callable[[], str], age: Callable[[], str]
    ) -> None:
        self._prefix = prefix
        self._link = link
        self._queue = queue
        self._now = now
        self._age = age

    async def ask(self, script: Script, *arguments: Argument) -> Any:
        """Run a script that changes nothing, and return its reply.

        Raises:
            Unavailable: the server cannot be reached, or the script failed.
        """
        try:
            return await script.run(self._link, self._prefix, *arguments)
        except (Disconnected, RedisError) as error:
            raise unavailable() from error

    async def change(self, script: Script, *arguments: Argument) -> Any:
        """Run a script of :data:`.scripts.QUEUED`, in the order of the appends, and return its reply.

        Raises:
            Unavailable, OutcomeUnknown: see :meth:`.appending.ScriptQueue.call`.
        """
        return await self._queue.call(script, arguments)

    async def append_with(
        self, script: Script, arguments: Sequence[Argument], drafts: Sequence[tuple[Draft, str]]
    ) -> Any:
        """Run a script of :data:`.scripts.APPENDING` that appends events to what else it changes.

        The idempotency keys of the drafts have no meaning.

        Args:
            script: to run.
            arguments: what it changes; they follow the two clocks.
            drafts: of the events, each with a note for :attr:`.RedisLog.on_note` of all nodes, '' for none.

        Raises:
            Unavailable, OutcomeUnknown: see :meth:`.appending.ScriptQueue.call`.
        """
        return await self.change(script, self._now(), self._age(), *arguments, *keyless_arguments(drafts))
