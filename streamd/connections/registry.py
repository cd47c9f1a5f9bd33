"""The registry: admits connections to slots, finds and counts them, and ends them at shutdown."""

import math
import random
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import structlog
import trio

from ..characters import check_text
from ..errors import (
    NotFound,
    ShuttingDown,
    StreamdError,
    TooManyConnections,
    TooManyForCaller,
)
from ..events import Control
from ..hub import SendQueue
from ..logs import LimitedLog
from ..metrics import Metrics
from .connection import CloseReason, Connection, Identity
from .group import Group
from .settings import ConnectionSettings

_log = LimitedLog(structlog.get_logger(__name__))
MAX_CLIENT_ID_CHARS: Final = 128
"""Longest client id; enough for a UUID with a prefix, and short in every list of connections."""
REPLACED_RETRY_MS: Final = 86_400_000
"""Reconnection time of a client that another with its client id replaced: a day. If it came back by itself,
the two would replace each other for ever."""


class Registry:
    """All connections of one streamd. Admission and release are one context manager.

    Args:
        settings: limits in all and per address, and the lifetime.
        metrics: counts rejected connections.

    Attributes:
        draining: True once shutdown began; new connections are rejected.
    """

    def __init__(self, settings: ConnectionSettings, metrics: Metrics) -> None:
        self.draining = False
        self._settings = settings
        self._metrics = metrics
        self._all = Group(
            max_connections=settings.max_connections,
            max_lifetime_seconds=settings.max_lifetime_seconds,
            lifetime_jitter=settings.lifetime_jitter,
            retry_after_seconds=settings.retry_after_seconds,
        )
        self._by_client: dict[tuple[str, str], Connection] = {}
        self._per_address: Counter[str] = Counter()
        self._empty = trio.Event()
        self._empty.set()

    # --- admission ----------------------------------------------------------------------------

    def admit(
        self,
        transport: str,
        identity: Identity,
        send_queue: SendQueue,
        *,
        client_id: str | None = None,
        heartbeat_seconds: float = 0.0,
        heartbeat_always: bool = False,
        group: Group | None = None,
    ) -> Connection:
        """Create a connection that holds a slot for as long as its ``with`` block lasts.

        Args:
            transport: its name, for statistics: ``sse``, ``websocket`` or ``poll``.
            identity: the client's user and address.
            send_queue: of the connection; closed on leaving the block.
            client_id: chosen by the client; None for the connection's own id. A second connection of the
                same user with the same client id replaces the first, which gets ``closing``.
            heartbeat_seconds: quiet interval before a heartbeat (s); 0 for none.
            heartbeat_always: send heartbeats on streams that are not quiet, too.
            group: its slot is taken as well, and its account is kept.

        Raises:
            InvalidField: the client id is invalid.
            ShuttingDown, TooManyConnections, TooManyForCaller: on entering the block, no slot is free; it
                never waits for one. Counted.
        """
        id = secrets.token_hex(16)
        if client_id is not None:
            check_text(client_id, "client_id", max_chars=MAX_CLIENT_ID_CHARS)
        return Connection(
            id=id,
            client_id=client_id or id,
            identity=identity,
            transport=transport,
            send_queue=send_queue,
            settings=self._settings,
            heartbeat_seconds=heartbeat_seconds,
            heartbeat_always=heartbeat_always,
            expires=min(self._all.choose_expiry(), math.inf if group is None else group.choose_expiry()),
            admission=self,
            group=group,
        )

    def enter(self, connection: Connection) -> None:
        """Take a slot; see :meth:`admit`."""
        try:
            self._take_slots(connection)
        except StreamdError as error:
            self._metrics.refused.labels(error.code).inc()
            _log.info("connection_rejected", **connection.identify(), code=error.code)
            raise
        identity = connection.identity
        self._per_address[identity.address] += 1
        key = (identity.user, connection.client_id)
        before = self._by_client.get(key)
        self._by_client[key] = connection
        if before is not None:
            before.close(CloseReason.REPLACED, retry_ms=REPLACED_RETRY_MS)
        self._empty = self._empty if not self._empty.is_set() else trio.Event()
        self._log_of(connection)("connection_opened", **connection.identify())

    def _take_slots(self, connection: Connection) -> None:
        """Check the limit per address, and take a slot in all and in the group, or none."""
        settings, identity = self._settings, connection.identity
        retry_after = settings.retry_after_seconds
        per_address = settings.max_per_address if identity.address else 0
        if self.draining:
            raise ShuttingDown("the server is shutting down", retry_after_seconds=retry_after)
        if per_address and self._per_address[identity.address] >= per_address:
            raise TooManyForCaller(
                f"this address already has the maximum of {per_address} connections",
                retry_after_seconds=retry_after,
            )
        self._all.enter(connection)
        if connection.group is not None:
            try:
                connection.group.enter(connection)
            except TooManyConnections:
                self._all.forget(connection)
                raise

    def leave(self, connection: Connection) -> None:
        """Give the slots back."""
        connection.send_queue.close()
        self._all.leave(connection)
        if connection.group is not None:
            connection.group.leave(connection)
        identity = connection.identity
        key = (identity.user, connection.client_id)
        if self._by_client.get(key) is connection:
            del self._by_client[key]
        self._per_address[identity.address] -= 1
        if not self._per_address[identity.address]:
            del self._per_address[identity.address]
        if not self._all:
            self._empty.set()
        self._log_of(connection)("connection_closed", **connection.identify(), **connection.account())

    @staticmethod
    def _log_of(connection: Connection) -> Callable[..., None]:
        """Return the function that logs a connection's start and end: a poll is one of many of its client."""
        return _log.debug if connection.transport == "poll" else _log.info

    # --- operations ---------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Connection]:
        """Iterate over a copy of the present connections."""
        return iter(self._all)

    def find(self, client_id: str, *, user: str = "") -> Connection:
        """Return the connection of a client.

        Raises:
            NotFound: no such client is connected.
        """
        try:
            return self._by_client[user, client_id]
        except KeyError:
            raise NotFound(f"no client {client_id!r} is connected", field="client_id") from None

    def send(self, client_id: str, message: Control, *, user: str = "") -> bool:
        """Send a message to one client; return False when its send queue is full.

        Raises:
            NotFound: no such client is connected.
        """
        return self.find(client_id, user=user).send(message)

    def broadcast(self, message: Control, where: Callable[[Connection], bool] = lambda _: True) -> int:
        """Send a message to every connection for which ``where`` is true; return how many took it."""
        return sum(connection.send(message) for connection in self if where(connection))

    def close(self, client_id: str, *, user: str = "", reason: str = CloseReason.CLOSED) -> None:
        """End a client's connection, and tell it the reason.

        Raises:
            NotFound: no such client is connected.
        """
        self.find(client_id, user=user).close(reason)

    def status(self, client_id: str, *, user: str = "") -> dict[str, Any]:
        """Return the state of one client's connection, as JSON values.

        Raises:
            NotFound: no such client is connected.
        """
        return self.find(client_id, user=user).status()

    def statistics(self) -> dict[str, Any]:
        """Count all connections since the start, and the present ones."""
        return self._all.statistics()

    # --- graceful shutdown --------------------------------------------------------------------

    async def drain(self, seconds: float) -> None:
        """Reject new connections, tell the present ones to reconnect later, and wait until they are gone.

        Cancelling it leaves the rest connected.

        Args:
            seconds: reconnects are spread over this time, and it is the deadline after which connections
                that are still there are aborted (s).
        """
        self.draining = True
        for connection in self:
            retry_ms = self._settings.retry_ms + int(1000 * seconds * random.random())
            connection.close(CloseReason.SHUTDOWN, retry_ms=retry_ms)
        with trio.move_on_after(seconds):
            await self._empty.wait()
        for connection in self:
            connection.abort(CloseReason.SHUTDOWN)
