"""A connection to a Redis server that comes back by itself.

::

    run:  connect -> greet -> connected ----------- lost --.
             ^                                             |
             '------------ wait, longer each time ---------'

Only the greeting uses a connection that is not greeted: a server may be another than before, and what the
caller knows of it is not brought up to date until then.

A command fails with :class:`Disconnected` when the connection ends before its reply: the server may have run
it. The link never sends a command again by itself.
"""

import random
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, NoReturn

import anyio
import structlog
import trio
from coredis.connection import (
    BaseConnection,
    TCPConnection,
    TCPLocation,
    UnixDomainSocketConnection,
    UnixDomainSocketLocation,
)
from coredis.exceptions import ConnectionError as RedisConnectionError
from coredis.exceptions import RedisError

from .address import RedisAddress
from .coredis_internals import closing_buffers
from .sentinel import SentinelService, check_role, first_error

Argument = str | bytes | int | float

_CONNECT_SECONDS: Final = 5.0
REPLY_SECONDS: Final = 10.0
"""A server that answers nothing for so long is taken for lost (s)."""

_FIRST_WAIT_SECONDS: Final = 0.05
_LONGEST_WAIT_SECONDS: Final = 0.5  # nodes come back soon after their server, see log/redis/lua/join.lua

_log = structlog.get_logger(__name__)


class Disconnected(Exception):
    """A command without a reply: there is no connection, or it was lost.

    Args:
        sent: True if the server may have run the command.
    """

    def __init__(self, *, sent: bool) -> None:
        super().__init__("the connection to Redis was lost" if sent else "Redis is not reachable")
        self.sent = sent


class RedisLink:
    """One connection to the primary server, made again whenever it is lost.

    Args:
        address: of the server, or of its sentinels.
        name: of the connection, in the server's list of clients and in the log.
        greet: called with the link on each new connection, before others use it. If it raises a
            :class:`RedisError` or :class:`Disconnected`, the connection is made again later.
        reply_seconds: time after which a connection whose server does not reply is taken for lost (s).

    Attributes:
        connected: set while commands can be sent; replaced when the connection is lost.
    """

    def __init__(
        self,
        address: RedisAddress,
        name: str,
        greet: Callable[["RedisLink"], Awaitable[None]] | None = None,
        *,
        reply_seconds: float = REPLY_SECONDS,
    ) -> None:
        self.address: Final = address
        self._name = name
        self._greet = greet
        self._reply_seconds = reply_seconds
        self._connection: BaseConnection | None = None
        self._greeting: trio.lowlevel.Task | None = None
        self._context: Final = ssl.create_default_context() if address.tls else None
        self._sentinels: Final = (
            SentinelService(address, self._context, _CONNECT_SECONDS) if address.service else None
        )
        self.connected = trio.Event()

    async def run(self) -> NoReturn:
        """Keep the connection until cancelled."""
        wait = _FIRST_WAIT_SECONDS
        failed = False
        while True:
            try:
                connection = await self._connect()
                watching = trio.CancelScope()
                with closing_buffers(connection):
                    async with trio.open_nursery() as nursery:
                        with trio.fail_after(self._reply_seconds):  # a stopped server never replies
                            await nursery.start(_run, connection, watching)
                            if self._sentinels is not None:
                                await check_role(connection)
                                nursery.start_soon(self._sentinels.end_when_replaced, connection, watching)
                        self._connection = connection
                        if self._greet is not None:
                            self._greeting = trio.lowlevel.current_task()
                            await self._greet(self)
                        wait = _FIRST_WAIT_SECONDS
                        if failed:
                            _log.info("redis_connected", connection=self._name, address=str(self.address))
                        failed = False
                        self._greeting = None
                        self.connected.set()
            except* (RedisError, OSError, Disconnected, trio.TooSlowError) as group:
                if not failed:
                    _log.warning("redis_unreachable", connection=self._name, error=first_error(group))
                failed = True
            else:
                if not failed:
                    _log.warning("redis_disconnected", connection=self._name, address=str(self.address))
                failed = True
            finally:
                self._connection = self._greeting = None
                if self.connected.is_set():
                    self.connected = trio.Event()
            await trio.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    async def call(self, command: bytes, *arguments: Argument, blocks_seconds: float = 0.0) -> Any:
        """Send a command, and return its reply, of which texts are bytes.

        Args:
            command: its name.
            arguments: of the command.
            blocks_seconds: time for which the server itself waits before it replies (s).

        Raises:
            Disconnected: there is no connection, or it was lost before the reply.
            RedisError: the server refused the command.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        return await self.start(command, *arguments, blocks_seconds=blocks_seconds)()

    def start(
        self, command: bytes, *arguments: Argument, blocks_seconds: float = 0.0
    ) -> Callable[[], Awaitable[Any]]:
        """Send a command, and return a function that waits for its reply, as :meth:`call` does.

        Commands that are started one after the other leave in this order, in one write.

        Raises:
            Disconnected: there is no connection.
        """
        connection = self._connection
        if connection is None or not self._is_open():
            raise Disconnected(sent=False)
        try:
            request = connection.create_request(
                command,
                *arguments,
                decode=False,
                raise_exceptions=False,
                timeout=blocks_seconds + self._reply_seconds,
            )
        except (RedisConnectionError, anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
            raise Disconnected(sent=False) from error  # the last two: it is being closed
        return partial(_wait_for, request, connection)

    async def listen(
        self,
        patterns: Sequence[str],
        take: Callable[[bytes, bytes, bytes], None],
        subscribed: Callable[[], None] = lambda: None,
    ) -> NoReturn:
        """Subscribe to channels (PSUBSCRIBE), and pass on each message, until the connection is lost.

        Args:
            patterns: of channels.
            take: called with the pattern, the channel and the message.
            subscribed: called once, when the server has confirmed all subscriptions.

        Raises:
            Disconnected: the connection was lost.
        """
        connection = self._connection
        if connection is None:
            await trio.lowlevel.checkpoint()
            raise Disconnected(sent=False)
        is_sent = is_confirmed = False
        try:
            connection.send_command(b"PSUBSCRIBE", *patterns)
            is_sent = True
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._look_alive, lambda: is_confirmed)
                messages: Any = connection.push_messages
                async for message in messages:
                    if message[0] == b"pmessage":
                        take(*message[1:])
                    elif message[0] == b"psubscribe" and message[2] == len(patterns):
                        is_confirmed = True
                        subscribed()
        except* (RedisError, Disconnected) as group:
            raise Disconnected(sent=True) from group
        finally:
            if is_sent and connection.usable:
                connection.send_command(b"PUNSUBSCRIBE", *patterns)
        raise AssertionError("it listens until the connection is lost")

    async def _look_alive(self, is_confirmed: Callable[[], bool]) -> NoReturn:
        """Notice a dead connection on which nothing else is sent, and a subscription that was refused."""
        while True:
            await trio.sleep(self._reply_seconds)
            if not is_confirmed():
                _log.warning("redis_subscription_refused", connection=self._name)
                self.close()
                raise Disconnected(sent=True)
            try:
                await self.call(b"PING")
            except RedisError:  # the server is alive, and busy with a script of others
                continue

    def _is_open(self) -> bool:
        """Return True for a caller that may use the connection now."""
        return self.connected.is_set() or self._greeting is trio.lowlevel.current_task()

    def close(self) -> None:
        """End the present connection; it is made again."""
        if self._connection is not None:
            self._connection.invalidate("closed")

    async def _connect(self) -> BaseConnection:
        address = self.address
        login: dict[str, Any] = {
            "username": address.username or None,
            "password": address.password or None,
            "db": address.database,
            "client_name": self._name,
            "connect_timeout": _CONNECT_SECONDS,
        }
        if address.path:
            return UnixDomainSocketConnection(UnixDomainSocketLocation(address.path), **login)
        primary = address.hosts[0] if self._sentinels is None else await self._sentinels.find_primary()
        if primary is None:
            raise Disconnected(sent=False)
        return TCPConnection(TCPLocation(*primary), ssl_context=self._context, **login)


async def _run(
    connection: BaseConnection,
    watching: trio.CancelScope,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a connection, and cancel a scope when it has ended."""
    try:
        await connection.run(task_status=task_status)
    finally:
        watching.cancel()


async def _wait_for(request: Awaitable[Any], connection: BaseConnection) -> Any:
    reply = await request
    if isinstance(reply, TimeoutError):
        connection.invalidate("no reply")
    if isinstance(reply, RedisError) and not isinstance(reply, RedisConnectionError):
        raise reply
    if isinstance(reply, Exception):
        raise Disconnected(sent=True) from reply
    return reply
