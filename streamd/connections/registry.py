"""The registry: admits connections to slots, finds and counts them, and ends them at shutdown."""

import math
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import structlog
import trio

from ..characters import check_text, quoted
from ..errors import (
    InvalidField,
    NotFound,
    ShuttingDown,
    StreamdError,
    TooManyConnections,
    TooManyForCaller,
)
from ..events import Control, UnloggedEvent
from ..hub import SendQueue
from ..limits import AddressCounting, caller_key, group_address
from ..logs import FrequentLine
from ..metrics import Metrics
from .broadcast import BroadcastOutcome, broadcast_in_turns
from .connection import CloseReason, Connection, Identity
from .group import Group
from .others import NO_OTHER_NODES, OtherNodes
from .resume import ResumeSecrets
from .settings import ConnectionSettings
from .totals import GroupTotals
from .turns import visit_in_turns

_log = structlog.get_logger(__name__)
_OPENED: Final = "connection_opened"
_CLOSED: Final = "connection_closed"
_opened_line: Final = FrequentLine(_log, _OPENED)
_closed_line: Final = FrequentLine(_log, _CLOSED)
MAX_CLIENT_ID_CHARS: Final = 128
"""Longest client id; enough for a UUID with a prefix, and short in every list of connections."""
OWN_ID_PREFIX: Final = "~"
"""Begins each connection's own id, and no client id, so that a message for a connection that has ended
reaches no other client. RFC 3986 section 2.3 leaves the character as it is in URLs."""
_OWN_ID_BYTES: Final = 16
REPLACED_RETRY_MS: Final = 86_400_000
"""Reconnection time of a client that another with its client id replaced: a day. If it came back by itself,
the two would replace each other for ever."""


class Registry:
    """All connections of this node. Admission and release are one context manager.

    Its limits, but the one in all, and the replacement of clients also count what other nodes report, see
    :meth:`share`. Operations on the connections of all nodes are those of a :class:`.census.Census`.

    Args:
        settings: limits in all, per address and per user, and the lifetime.
        metrics: counts rejected connections.
        wall_seconds: the wall clock (s since 1970), by which tokens expire.

    Attributes:
        draining: True once shutdown began; new connections are rejected.
        secrets: the resume secrets.
        address_counting: tells addresses of single clients from those of proxies.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        metrics: Metrics,
        wall_seconds: Callable[[], float] = time.time,
    ) -> None:
        self._wall_seconds = wall_seconds
        self.draining = False
        self._settings = settings
        self._metrics = metrics
        self._all = Group(
            max_connections=settings.max_connections,
            max_lifetime_seconds=settings.max_lifetime_seconds,
            lifetime_jitter=settings.lifetime_jitter,
            retry_after_seconds=settings.retry_after_seconds,
        )
        self.secrets: Final = ResumeSecrets()
        self._others: OtherNodes = NO_OTHER_NODES
        self._groups: dict[str, Group] = {}
        # By user and client id: the connections by lineage, the newest last. Chosen client ids only.
        self._by_client: dict[tuple[str, str], dict[str, Connection]] = {}
        self.address_counting = AddressCounting()
        self._per_caller: dict[str, int] = {}
        self._empty = trio.Event()
        self._empty.set()

    def apply_settings(self, settings: ConnectionSettings) -> None:
        """Admit connections by other limits from now on; those that are open stay."""
        self._settings = settings
        self._all.max_connections = settings.max_connections

    @property
    def settings(self) -> ConnectionSettings:
        """The settings by which connections are admitted now."""
        return self._settings

    # --- other nodes --------------------------------------------------------------------------

    def share(self, others: OtherNodes) -> None:
        """Count the connections of other nodes too, and report this node's.

        Call it before any is admitted.
        """
        self._others = others
        for group in self._groups.values():
            group.elsewhere = others.totals

    def add_group(self, group: Group) -> None:
        """Count a group's connections over all nodes, also before this node has one of them.

        Groups are told apart by their names; one without a name is of this node alone.
        """
        if group.name and group.name not in self._groups:
            self._groups[group.name] = group
            group.elsewhere = self._others.totals

    @property
    def groups(self) -> Mapping[str, Group]:
        """The groups that have had connections, or were added, by name."""
        return self._groups

    @property
    def by_caller(self) -> Mapping[str, int]:
        """The number of this node's connections by each of the keys under which they are counted."""
        return self._per_caller

    def limited_keys(self, identity: Identity) -> Iterator[str]:
        """Yield the keys of a connection whose numbers are limited."""
        if self._settings.max_per_address and self.address_counting.is_counted(identity.address):
            yield group_address(identity.address)
        if self._settings.max_per_user and identity.user:
            yield caller_key(identity.user, "")

    # --- admission ----------------------------------------------------------------------------

    def admit(
        self,
        transport: str,
        identity: Identity,
        send_queue: SendQueue,
        *,
        client_id: str | None = None,
        resume_secret: str | None = None,
        heartbeat_seconds: float = 0.0,
        heartbeat_always: bool = False,
        group: Group | None = None,
    ) -> Connection:
        """Create a connection that holds a slot for as long as its ``with`` block lasts.

        Args:
            transport: its name, for statistics: ``sse``, ``websocket`` or ``poll``.
            identity: the client's user and address.
            send_queue: of the connection; closed on leaving the block.
            client_id: chosen by the client; None for the connection's own id. A connection replaces the one
                with the same client id of the same user, which gets ``closing``. An anonymous client has to
                prove by its resume secret that the other one is its own; else both stay.
            resume_secret: brought by the client, see :meth:`resume_secret`. One that this process did not
                issue counts as none.
            heartbeat_seconds: quiet interval before a heartbeat (s); 0 for none.
            heartbeat_always: send heartbeats on streams that are not quiet, too.
            group: its slot is taken as well, and its account is kept.

        Raises:
            InvalidField: the client id is invalid.
            ShuttingDown, TooManyConnections, TooManyForCaller: on entering the block, no slot is free; it
                never waits for one. Counted.
        """
        id = OWN_ID_PREFIX + os.urandom(_OWN_ID_BYTES).hex()
        if client_id is not None:
            check_text(client_id, "client_id", max_chars=MAX_CLIENT_ID_CHARS)
            if client_id.startswith(OWN_ID_PREFIX):
                raise InvalidField(
                    f"client_id must not begin with {OWN_ID_PREFIX!r}, as connection ids do",
                    field="client_id",
                )
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
            token_expires=self._expiry_of(identity),
            lineage="" if identity.user else self.secrets.verify(resume_secret) or id,
            admission=self,
            group=group,
        )

    def _expiry_of(self, identity: Identity) -> float:
        """Return the end of a client's token on trio's clock (s)."""
        if identity.expires_at is None:
            return math.inf
        return trio.current_time() + identity.expires_at - self._wall_seconds()

    def resume_secret(self, connection: Connection) -> str | None:
        """Return the secret with which the client's next connection replaces this one.

        None for a connection without a chosen client id, and for those of a known user, which replace each
        other without one. It is for this client alone.
        """
        if not connection.has_client_id or connection.identity.user:
            return None
        return self.secrets.issue(connection.lineage)

    def enter(self, connection: Connection) -> None:
        """Take a slot; see :meth:`admit`."""
        try:
            self._take_slots(connection)
        except StreamdError as error:
            self._metrics.refused.labels(error.code).inc()
            _log.info("connection_rejected", **connection.identify(), code=error.code)
            raise
        per_caller = self._per_caller
        for key in _keys_of(connection.identity):
            per_caller[key] = per_caller.get(key, 0) + 1
        if connection.has_client_id:
            self._replace(connection)
        self._others.note_opened(connection)
        if self._empty.is_set():
            self._empty = trio.Event()
        if not _opened_line.is_suppressed(connection.log_level):
            _log.log(connection.log_level, _OPENED, **connection.identify())

    def _replace(self, connection: Connection) -> None:
        """Enter a connection under its client id, and close the one that it replaces."""
        clients = self._by_client.setdefault((connection.identity.user, connection.client_id), {})
        before = clients.pop(connection.lineage, None)
        clients[connection.lineage] = connection
        if before is not None:
            before.close(CloseReason.REPLACED, retry_ms=REPLACED_RETRY_MS)

    def _forget_client(self, connection: Connection) -> None:
        """Remove a connection from those of its client id, unless another one has replaced it."""
        key = (connection.identity.user, connection.client_id)
        clients = self._by_client.get(key, {})
        if clients.get(connection.lineage) is connection:
            del clients[connection.lineage]
            if not clients:
                del self._by_client[key]

    def _take_slots(self, connection: Connection) -> None:
        """Check the limits per address and per user, and take a slot in all and in the group, or none."""
        settings = self._settings
        retry_after = settings.retry_after_seconds
        if self.draining:
            raise ShuttingDown("the server is shutting down", retry_after_seconds=retry_after)
        for key in self.limited_keys(connection.identity):
            is_user = key == caller_key(connection.identity.user, "")
            noun, most = ("user", settings.max_per_user) if is_user else ("address", settings.max_per_address)
            if self._per_caller.get(key, 0) + self._others.count_at(key) >= most:
                raise TooManyForCaller(
                    f"this {noun} already has the maximum of {most} connections",
                    retry_after_seconds=retry_after,
                )
        self._all.enter(connection)
        if connection.group is not None:
            if isinstance(connection.group, Group):
                self.add_group(connection.group)
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
        if connection.has_client_id:
            self._forget_client(connection)
        for key in _keys_of(connection.identity):
            self._per_caller[key] -= 1
            if not self._per_caller[key]:
                del self._per_caller[key]
        self._others.note_closed(connection)
        if not self._all:
            self._empty.set()
        if not _closed_line.is_suppressed(connection.log_level):
            _log.log(connection.log_level, _CLOSED, **connection.identify(), **connection.account())

    # --- operations ---------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Connection]:
        """Iterate over a copy of the present connections."""
        return iter(self._all)

    def get(self, id: str) -> Connection | None:
        """Return the connection with this own id; None if there is none."""
        return self._all.get(id)

    def find(self, id: str, *, user: str = "") -> Connection:
        """Return an open connection.

        Args:
            id: a connection's own id; or a client id, for the newest connection with it. No client id has
                the form of a connection's own id, so that no client can choose the address of another.
            user: finds only connections of this user; empty for any connection by its own id, and for
                anonymous clients by their client id.

        Raises:
            NotFound: there is no such connection.
        """
        connection = self._all.get(id)
        if connection is not None and user in ("", connection.identity.user):
            return connection
        clients = self._by_client.get((user, id))
        if not clients:
            raise NotFound(f"no connection has the id or client id {quoted(id)}", field="id")
        return next(reversed(clients.values()))

    def find_client(self, user: str, client_id: str, lineage: str) -> Connection | None:
        """Return the connection that another one with these would replace; None if there is none."""
        return self._by_client.get((user, client_id), {}).get(lineage)

    def send(self, id: str, message: Control | UnloggedEvent, *, user: str = "") -> bool:
        """Send a message to one connection; return False when its send queue is full or it is closing.

        Raises:
            NotFound: there is no such connection, see :meth:`find`.
        """
        return self.find(id, user=user).send(message)

    async def broadcast(
        self, message: Control | UnloggedEvent, where: Callable[[Connection], bool] = lambda _: True
    ) -> BroadcastOutcome:
        """Send a message to every open connection for which ``where`` is true, and count those that took it.

        A connection that opens meanwhile does not receive it. Cancelled, some have received it.
        """
        return await broadcast_in_turns(self, message, where)

    def close(self, id: str, *, user: str = "", reason: str = CloseReason.CLOSED) -> None:
        """End a connection, and tell its client the reason. A client that reconnects by itself comes back.

        Raises:
            NotFound: there is no such connection, see :meth:`find`.
        """
        self.find(id, user=user).close(reason)

    def status(self, id: str, *, user: str = "") -> dict[str, Any]:
        """Return the state of a connection, as JSON values.

        Raises:
            NotFound: there is no such connection, see :meth:`find`.
        """
        return self.find(id, user=user).status()

    def statistics(self) -> dict[str, Any]:
        """Count all connections of this node since the start, and the present ones, as JSON values."""
        return self._all.statistics()

    def totals(self) -> GroupTotals:
        """Count all connections of this node since the start, and the present ones."""
        return self._all.totals()

    # --- graceful shutdown --------------------------------------------------------------------

    async def drain(self, seconds: float) -> None:
        """Reject new connections, tell the present ones to reconnect later, and wait until they are gone.

        All of that happens in turns, so that a shutdown of thousands delays nobody's last events. Cancelling
        it leaves the rest connected.

        Args:
            seconds: reconnects are spread over this time, and it is the deadline after which connections
                that are still there are aborted (s).
        """
        self.draining = True

        def close(connection: Connection) -> None:
            retry_ms = self._settings.retry_ms + int(1000 * seconds * random.random())
            connection.close(CloseReason.SHUTDOWN, retry_ms=retry_ms)

        deadline = trio.current_time() + seconds
        await visit_in_turns(self, close)  # also those whose turn comes after the deadline
        with trio.CancelScope(deadline=deadline):
            await self._empty.wait()
        await visit_in_turns(self, lambda connection: connection.abort(CloseReason.SHUTDOWN))


def _keys_of(identity: Identity) -> list[str]:
    """Return the keys under which a connection counts: of its address, and of its user if it has one."""
    address = group_address(identity.address)
    return [address, caller_key(identity.user, "")] if identity.user else [address]
