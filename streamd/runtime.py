"""The lifetime of everything that outlives a connection: the broker, the database, tasks and their runner.

The composition root runs :meth:`Runtime.run` in a nursery outside the server's, never in the web
framework's own, which Quart-Trio cancels on a schedule of its own.
"""

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn

import attrs
import trio
from prometheus_client import CollectorRegistry, Counter, Gauge

from .auth import Access, AuthSettings, Caller, Revocations, Tickets, TokenVerifier
from .broker import Broker, BrokerSettings
from .clock import SteadyClock
from .computing.processes import WorkerProcesses
from .computing.settings import ComputingSettings
from .config import Clash, check_order
from .connections import Census, CloseReason, Connection, LocalCensus, sweep_connections
from .connections.turns import visit_in_turns
from .database import MEMORY, Database, StorageRoom, StoreSettings
from .errors import ConfigError
from .log.port import Log
from .logs import report_suppressed_lines
from .redis.settings import RedisSettings
from .storage import Probe, Storage, make_storage
from .tasks import Runner, Tasks, TaskSettings
from .tasks.metrics import TaskMetrics
from .tasks.store.memory import MemoryTaskStore
from .tasks.store.port import TaskStore
from .tasks.store.sqlite import SQLiteTaskStore
from .text import TextSettings

if TYPE_CHECKING:
    from .bridge import RedisBridge
    from .connections.nodes import ConnectionNode
    from .log.redis import RedisLog
    from .redis import RedisStore

_REVOCATION_LOOK_SECONDS: Final = 5.0


@attrs.frozen(kw_only=True)
class RuntimeSettings(BrokerSettings):
    """The sections of the engine: the broker's, and those of the database, tasks and text."""

    store: StoreSettings = attrs.field(factory=StoreSettings)
    redis: RedisSettings = attrs.field(factory=RedisSettings)
    tasks: TaskSettings = attrs.field(factory=TaskSettings)
    text: TextSettings = attrs.field(factory=TextSettings)
    computing: ComputingSettings = attrs.field(factory=ComputingSettings)
    auth: AuthSettings = attrs.field(factory=AuthSettings)

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions between sections."""
        yield from super().clashes()
        yield from check_order(
            self,
            "tasks.max_event_result_bytes",
            "events.max_event_bytes",
            "the last event must hold the result",
        )
        yield from check_order(
            self,
            "log.max_age_seconds",
            "tasks.tombstone_seconds",
            "a task id may be used again only after the log has forgotten it",
        )


@attrs.define(eq=False)
class Runtime:
    """The broker with its database, tasks and runner. Make one with :meth:`create`.

    Only the settings change, by :meth:`apply_settings`.
    """

    settings: RuntimeSettings
    broker: Broker
    storage: Storage
    tasks: Tasks
    runner: Runner
    tokens: TokenVerifier
    tickets: Tickets
    revocations: Revocations
    probes: Sequence[Probe]
    access: Access
    processes: WorkerProcesses
    bridge: "RedisBridge | None" = None
    node: "ConnectionNode | None" = None

    @classmethod
    def create(
        cls, settings: RuntimeSettings, log: Log | None = None, clock: SteadyClock | None = None
    ) -> "Runtime":
        """Build all parts from the settings.

        Args:
            settings: of all parts.
            log: the event log; defaults to the one that ``log.url`` names.
            clock: decides leases, deadlines and retention; defaults to one beside the system's wall clock.

        Raises:
            ConfigError: ``log.url`` or ``store.url`` names no known log or store.
        """
        clock = clock or SteadyClock()
        storage = make_storage(settings.store, settings.log, settings.redis, clock, log)
        broker = Broker.create(settings, storage.log)
        if storage.redis_log is not None:
            _observe_connection(storage.redis_log, broker.metrics.registry)
            broker.limits.share(storage.redis_log.store_link, storage.redis_log.prefix)
        for record in storage.unreadable:
            record.count = lambda record: broker.metrics.unreadable.labels(record).inc()
        storage.bound_store(settings.store, settings.log)
        tasks = Tasks(
            _make_task_store(storage, settings.store.max_bytes),
            broker.hub,
            settings.tasks,
            settings.events,
            TaskMetrics(broker.metrics.registry),
            clock,
        )
        _observe_rooms({tasks.store.room, storage.store.room}, broker.metrics.registry)
        bridge = _make_bridge(settings, storage, broker)
        node = _make_node(storage, broker)
        tickets = Tickets(storage.make_ticket_store(), settings.auth)
        revocations = Revocations(storage.make_revocation_store(), settings.auth)
        tokens = TokenVerifier(settings.auth)
        access = Access(settings.auth, tokens, tickets, revocations)
        return cls(
            settings,
            broker,
            storage,
            tasks,
            Runner(tasks),
            tokens,
            tickets,
            revocations,
            storage.make_probes(),
            access,
            WorkerProcesses(settings.computing),
            bridge,
            node,
        )

    @property
    def database(self) -> Database:
        """The database of tasks, orders and items."""
        return self.storage.store

    @property
    def redis(self) -> "RedisStore | None":
        """The way to the keys of Redis, if nodes share the store; None: they keep it in the database."""
        log = self.storage.redis_log
        if log is None or not self.storage.has_shared_store:
            return None
        from .redis import RedisStore

        return RedisStore(log.store_link, log.prefix)

    @property
    def census(self) -> Census:
        """The connections of all nodes that share the log."""
        return LocalCensus(self.broker.connections) if self.node is None else self.node.census

    async def check_storage(self) -> None:
        """Check that the storage works now.

        Raises:
            Unavailable: it does not, with the reason as a sentence for clients.
        """
        for probe in self.probes:
            await probe.check()

    def apply_settings(self, settings: RuntimeSettings) -> None:
        """Apply settings that change while the runtime runs; see :func:`streamd.config.plan_reload`.

        Raises:
            ConfigError: the keys of tokens cannot be loaded; nothing has changed.
        """
        self.tokens.apply_settings(settings.auth)  # first, as it reads a file: all of them or none
        self.settings = settings
        self.broker.apply_settings(settings)
        self.storage.bound_store(settings.store, settings.log)
        self.tasks.settings = settings.tasks
        self.runner.apply_settings(settings.tasks)
        self.access.settings = settings.auth
        self.tickets.settings = settings.auth
        self.revocations.apply_settings(settings.auth)

    async def _serve_log(
        self, scope: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Keep the connections to Redis until the scope is cancelled: others finish their changes first."""
        assert self.storage.redis_log is not None
        with scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.storage.redis_log.serve)
                if self.storage.has_shared_store:
                    store: Any = self.tasks.store
                    await store.start_clock(self.tasks.clock)
                task_status.started()

    async def _end_revoked(self) -> NoReturn:
        """End the connections of callers whose tokens are revoked, or whose keys are gone.

        It looks as soon as a revocation is known, and every few seconds: for keys, and for callers who were
        identified just before a revocation and connected after it.
        """
        version = self.revocations.version
        while True:
            with trio.move_on_after(_REVOCATION_LOOK_SECONDS):
                version = await self.revocations.wait_for_change(version)
            await visit_in_turns(self.broker.connections, self._end_if_revoked)

    def _end_if_revoked(self, connection: Connection) -> None:
        identity = connection.identity
        if not identity.key:  # a view of a program's own, which decides for itself
            return
        caller = Caller(
            user=identity.user, key=identity.key, token_id=identity.token_id, issued_at=identity.issued_at
        )
        if not self.access.still_holds(caller):
            connection.close(CloseReason.REVOKED)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Run all parts until cancelled. No published event and no stored change is lost by cancelling.

        Raises:
            ConfigError: the store cannot be opened.
        """
        broker = self.broker
        served = trio.CancelScope(shield=True)
        async with (
            trio.open_nursery() as outer,
            _ended_by(served),
        ):  # the databases stop last: the other parts still write to it
            await outer.start(self.processes.serve)  # fails in a worker process
            if self.storage.redis_log is not None:
                await outer.start(self._serve_log, served)
            for database in self.storage.databases:
                await outer.start(database.run)
            await broker.log.open()
            async with trio.open_nursery() as nursery:
                await nursery.start(self.revocations.run)
                await nursery.start(self.tokens.run)
                nursery.start_soon(self._end_revoked)
                for probe in self.probes:
                    nursery.start_soon(probe.run)
                nursery.start_soon(broker.log.run)
                nursery.start_soon(broker.hub.run)
                if self.bridge is not None:
                    nursery.start_soon(self.bridge.run)
                if self.node is not None:
                    await nursery.start(self.node.run)
                nursery.start_soon(broker.limits.run)
                nursery.start_soon(report_suppressed_lines)
                nursery.start_soon(
                    sweep_connections, broker.connections, broker.settings.connections, broker.metrics
                )
                await nursery.start(self.runner.run)
                task_status.started()
        raise AssertionError("the runtime runs until it is cancelled")


def _make_bridge(settings: RuntimeSettings, storage: Storage, broker: Broker) -> "RedisBridge | None":
    """Build the bridge, if channels are named.

    Raises:
        ConfigError: channels are named, and the log is not in Redis.
    """
    if not settings.redis.bridge:
        return None
    if storage.redis_log is None:
        raise ConfigError("redis.bridge needs log.url to name Redis", field="redis.bridge")
    from .bridge import BridgeMetrics, RedisBridge

    return RedisBridge(
        storage.redis_log.address,
        settings.redis.key_prefix,
        settings.redis.bridge,
        broker.hub,
        settings.events,
        BridgeMetrics(broker.metrics.registry),
    )


def _observe_connection(log: "RedisLog", registry: CollectorRegistry) -> None:
    gauge = Gauge(
        "streamd_redis_connected", "1 while the log in Redis can be appended to and read.", registry=registry
    )
    gauge.set_function(lambda: float(log.is_connected))


def _observe_rooms(rooms: Collection[StorageRoom], registry: CollectorRegistry) -> None:
    used = Gauge(
        "streamd_store_bytes",
        "Size of the stored tasks, orders and items, and of the log if it is in the same file.",
        registry=registry,
    )
    used.set_function(lambda: float(sum(room.used_bytes for room in rooms)))
    most = Gauge("streamd_store_max_bytes", "Bound of streamd_store_bytes; 0 without one.", registry=registry)
    most.set_function(lambda: float(sum(room.max_bytes for room in rooms)))
    refused = Counter(
        "streamd_store_refusals",
        "Requests refused because the store had its maximum size.",
        registry=registry,
    )
    for room in rooms:
        room.count_refusal = refused.inc


def _make_task_store(storage: Storage, max_bytes: int) -> TaskStore:
    if storage.has_shared_store and storage.redis_log is not None:
        from .tasks.store.redis import RedisTaskStore

        return RedisTaskStore(storage.redis_log)
    if storage.store.path == MEMORY:
        return MemoryTaskStore(StorageRoom(MEMORY, max_bytes))
    return SQLiteTaskStore(storage.store, storage.shared_log)


@asynccontextmanager
async def _ended_by(scope: trio.CancelScope) -> AsyncIterator[None]:
    """Cancel a scope after the block."""
    try:
        yield
    finally:
        scope.cancel()


def _make_node(storage: Storage, broker: Broker) -> "ConnectionNode | None":
    """Build the part that shares connections with other nodes, if the log is in Redis."""
    if storage.redis_log is None:
        return None
    from .connections.nodes import ConnectionNode

    return ConnectionNode(broker.connections, storage.redis_log.address, storage.redis_log.prefix)
