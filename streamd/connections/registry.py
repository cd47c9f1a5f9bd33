"""Admission: every connection takes a place here first, and gives it back in the same block."""

import math
import random
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import trio

from ..config import ConnectionSettings
from ..errors import InvalidField, NotFound, ShuttingDown, StreamdError, TooManyConnections, TooManyForCaller
from ..events import Control
from ..hub import SendQueue
from ..metrics import Metrics
from .connection import Closing, Connection, Identity
from .group import Group


class Registry:
    """Who is connected. Admission and release are one context manager.

    Attributes:
        draining: set once shutdown began; nobody is admitted any more.
    """

    def __init__(self, settings: ConnectionSettings, metrics: Metrics) -> None:
        self.draining = False
        self._settings = settings
        self._metrics = metrics
        self._everyone = Group(
            max_connections=settings.max_connections,
            max_lifetime_seconds=settings.max_lifetime_seconds,
            lifetime_jitter=settings.lifetime_jitter,
            retry_after_seconds=settings.retry_after_seconds,
        )
        self._by_client: dict[tuple[str, str], Connection] = {}
        self._per_user: Counter[str] = Counter()
        self._per_address: Counter[str] = Counter()
        self._empty = trio.Event()
        self._empty.set()

    def admit(
        self,
        transport: str,
        identity: Identity,
        outbox: SendQueue,
        *,
        client_id: str | None = None,
        heartbeat_seconds: float = 0.0,
        heartbeat_always: bool = False,
        group: Group | None = None,
    ) -> Connection:
        """Give a client a place for as long as the block ``with`` it lasts; never waits for one.

        Args:
            transport: its name, for statistics: ``sse``, ``websocket`` or ``poll``.
            identity: who it is.
            outbox: where frames for it wait; closed on the way out.
            client_id: chosen by the client, or the connection's id. A second connection of the same user with
                the same client id replaces the first, which is told.
            heartbeat_seconds: quiet time before a heartbeat; 0 for none.
            heartbeat_always: heartbeats on streams that are not quiet, too.
            group: whose places it takes as well, and whose account it is on.

        Raises:
            InvalidField: the client id cannot be one.
            ShuttingDown, TooManyConnections, TooManyForCaller: on entering the block, there is no
                place; counted.
        """
        id = secrets.token_hex(16)
        if client_id is not None:
            _check_client_id(client_id, self._settings.max_client_id_chars)
        return Connection(
            id=id,
            client_id=client_id or id,
            identity=identity,
            transport=transport,
            outbox=outbox,
            settings=self._settings,
            heartbeat_seconds=heartbeat_seconds,
            heartbeat_always=heartbeat_always,
            expires=min(self._everyone.choose_expiry(), math.inf if group is None else group.choose_expiry()),
            places=self,
            group=group,
        )

    def _take_place(self, connection: Connection) -> None:
        settings, identity = self._settings, connection.identity
        again = settings.retry_after_seconds
        per_user = settings.max_per_user if identity.user else 0
        per_address = settings.max_per_address if identity.address else 0
        if self.draining:
            raise ShuttingDown("the server is shutting down", retry_after_seconds=again)
        for count, limit, what in (
            (self._per_user[identity.user], per_user, "user"),
            (self._per_address[identity.address], per_address, "address"),
        ):
            if limit and count >= limit:
                raise TooManyForCaller(
                    f"this {what} has all the {limit} connections it may have", retry_after_seconds=again
                )
        self._everyone.enter(connection)
        if connection.group is not None:
            try:
                connection.group.enter(connection)
            except TooManyConnections:
                self._everyone.forget(connection)
                raise

    def enter(self, connection: Connection) -> None:
        """Take a place; see :meth:`admit`."""
        try:
            self._take_place(connection)
        except StreamdError as error:
            self._metrics.refused.labels(error.code).inc()
            raise
        identity = connection.identity
        self._per_user[identity.user] += 1
        self._per_address[identity.address] += 1
        key = (identity.user, connection.client_id)
        before = self._by_client.get(key)
        self._by_client[key] = connection
        if before is not None:
            before.close(Closing.REPLACED, retry_ms=self._settings.replaced_retry_ms)
        self._empty = self._empty if not self._empty.is_set() else trio.Event()

    def leave(self, connection: Connection) -> None:
        """Give the place back."""
        connection.outbox.close()
        self._everyone.leave(connection)
        if connection.group is not None:
            connection.group.leave(connection)
        identity = connection.identity
        key = (identity.user, connection.client_id)
        if self._by_client.get(key) is connection:
            del self._by_client[key]
        for counter, name in ((self._per_user, identity.user), (self._per_address, identity.address)):
            counter[name] -= 1
            if not counter[name]:
                del counter[name]
        if not self._everyone:
            self._empty.set()

    # --- operations ---------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Connection]:
        """Everyone connected now; a copy."""
        return iter(self._everyone)

    def find(self, client_id: str, *, user: str = "") -> Connection:
        """The connection of a client.

        Raises:
            NotFound: no such client is connected.
        """
        try:
            return self._by_client[user, client_id]
        except KeyError:
            raise NotFound(f"no client {client_id!r} is connected", field="client_id") from None

    def send(self, client_id: str, message: Control, *, user: str = "") -> bool:
        """Send a message to one client; False when its outbox is full.

        Raises:
            NotFound: no such client is connected.
        """
        return self.find(client_id, user=user).send(message)

    def broadcast(self, message: Control, where: Callable[[Connection], bool] = lambda _: True) -> int:
        """Send a message to every connection that ``where`` accepts; returns how many took it."""
        return sum(connection.send(message) for connection in self if where(connection))

    def close(self, client_id: str, *, user: str = "", reason: str = Closing.CLOSED) -> None:
        """End a client's connection; it is told why.

        Raises:
            NotFound: no such client is connected.
        """
        self.find(client_id, user=user).close(reason)

    def status(self, client_id: str, *, user: str = "") -> dict[str, Any]:
        """What is known of one client's connection.

        Raises:
            NotFound: no such client is connected.
        """
        return self.find(client_id, user=user).status()

    def statistics(self) -> dict[str, Any]:
        """Counts of all connections since the start, and of those there are now."""
        return self._everyone.statistics()

    # --- the end ------------------------------------------------------------------------------

    async def drain(self, seconds: float) -> None:
        """Admit nobody any more, tell everyone to come back later, and wait for them to leave.

        Reconnects are spread over ``seconds``. Whoever has not left by then is aborted. Cancelled,
        it leaves the rest connected.
        """
        self.draining = True
        for connection in self:
            retry_ms = self._settings.retry_ms + int(1000 * seconds * random.random())
            connection.close(Closing.SHUTDOWN, retry_ms=retry_ms)
        with trio.move_on_after(seconds):
            await self._empty.wait()
        for connection in self:
            connection.abort()


def _check_client_id(client_id: str, max_chars: int) -> None:
    if not client_id or not client_id.isprintable() or len(client_id) > max_chars:
        raise InvalidField(
            f"client_id must be printable text of 1 to {max_chars} characters", field="client_id"
        )
