"""Lua scripts, sent by their digest."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from coredis.exceptions import NoScriptError

from .link import Argument, RedisLink


class Script:
    """A script that a server learns when it first meets it, also after a restart or a failover.

    Args:
        body: of the script, without its first line. With ``#!lua`` there, the server runs none of it when its
            memory is full, instead of the part before the first command that would need more.
        flags: for that line, such as ``no-writes``.
    """

    def __init__(self, body: str, flags: str = "") -> None:
        first = f"#!lua flags={flags}" if flags else "#!lua"
        self._source: Final = f"{first}\n{body}".encode()
        self._digest: Final = hashlib.sha1(self._source, usedforsecurity=False).hexdigest()

    async def run(self, link: RedisLink, prefix: str, *arguments: Argument) -> Any:
        """Run the script, and return its reply.

        Args:
            link: to the server.
            prefix: of all keys, which contains their hash tag.
            arguments: of the script.

        Raises:
            Disconnected: see :meth:`.RedisLink.call`.
            RedisError: the script failed.
        """
        try:
            return await self.start(link, prefix, *arguments)()
        except NoScriptError:
            return await link.call(b"EVAL", self._source, 1, prefix, *arguments)

    def start(self, link: RedisLink, prefix: str, *arguments: Argument) -> Callable[[], Awaitable[Any]]:
        """Send the digest, and return a function that waits for the reply; see :meth:`.RedisLink.start`.

        The reply is a :class:`NoScriptError` if the server does not know the script: then :meth:`load` it.
        """
        return link.start(b"EVALSHA", self._digest, 1, prefix, *arguments)

    async def load(self, link: RedisLink) -> None:
        """Teach the server the script."""
        await link.call(b"SCRIPT", b"LOAD", self._source)
