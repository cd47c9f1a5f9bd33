"""Redis Sentinel: finding the primary server, and noticing that it is another.

See the guidelines for Sentinel clients in Redis' documentation. In place of listening to ``+switch-master``,
each connection asks again and again, which a sentinel that was away in between cannot make it miss.
"""

import ssl
from typing import Any, Final

import structlog
import trio
from coredis.connection import BaseConnection, TCPConnection, TCPLocation
from coredis.exceptions import ConnectionError as RedisConnectionError
from coredis.exceptions import RedisError

from .address import RedisAddress
from .coredis_internals import closing_buffers

_ASK_SECONDS: Final = 1.0
"""Time between two questions (s). In a planned failover the former primary goes on to accept writes for some
ten seconds after its successor was promoted, and loses them."""

_log = structlog.get_logger(__name__)


class SentinelService:
    """A service that sentinels watch: one primary server and its replicas.

    Args:
        address: of the sentinels, and the name of the service.
        context: for TLS; None without.
        connect_seconds: time for the answer of each sentinel (s).
    """

    def __init__(self, address: RedisAddress, context: ssl.SSLContext | None, connect_seconds: float) -> None:
        self._address: Final = address
        self._context: Final = context
        self._connect_seconds: Final = connect_seconds

    async def find_primary(self) -> tuple[str, int] | None:
        """Ask the sentinels, one after the other, for the primary's address; return None if none knows it."""
        for host, port in self._address.hosts:
            found: Any = None
            try:
                with trio.fail_after(self._connect_seconds):
                    found = await self._ask(host, port)
            except* (RedisError, OSError, trio.TooSlowError) as group:
                _log.info("sentinel_failed", sentinel=f"{host}:{port}", error=first_error(group))
            if found:
                return str(found[0]), int(found[1])
        return None

    async def _ask(self, host: str, port: int) -> Any:
        sentinel = TCPConnection(
            TCPLocation(host, port), connect_timeout=self._connect_seconds, ssl_context=self._context
        )
        found: Any = None
        with closing_buffers(sentinel):
            async with trio.open_nursery() as nursery:
                await nursery.start(sentinel.run)
                found = await sentinel.create_request(
                    b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._address.service, decode=True
                )
                sentinel.invalidate("done")
        return found

    async def end_when_replaced(self, connection: BaseConnection, scope: trio.CancelScope) -> None:
        """End a connection once the sentinels name another server as the primary.

        Args:
            connection: to the primary.
            scope: cancelled by the caller when the connection has ended.
        """
        with scope:
            while True:
                await trio.sleep(_ASK_SECONDS)
                primary = await self.find_primary()
                if primary is not None and TCPLocation(*primary) != connection.location:
                    _log.info("redis_primary_replaced", primary="{}:{}".format(*primary))
                    connection.invalidate("no primary any more")
                    return


async def check_role(connection: BaseConnection) -> None:
    """Check that a server which the sentinels named is the primary already.

    Raises:
        RedisConnectionError: it is not.
    """
    role: Any = await connection.create_request(b"ROLE", decode=True)
    if role[0] != "master":
        connection.invalidate("no primary")
        raise RedisConnectionError("the server is no primary")


def first_error(group: BaseExceptionGroup[Any]) -> str:
    """Return the representation of a group's first error, for the log."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return repr(error)
