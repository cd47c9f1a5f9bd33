"""The one task that looks after all connections."""

import time
from datetime import UTC, datetime
from typing import NoReturn

import trio

from ..config import ConnectionSettings
from ..events import Control, ControlName, CursorMove
from ..events.control import heartbeat
from ..metrics import Metrics
from .connection import Closing, Connection, Shared
from .health import Health
from .registry import Registry

_TURN_SECONDS = 0.002  # connections looked at before others may run


async def sweep_connections(registry: Registry, settings: ConnectionSettings, metrics: Metrics) -> NoReturn:
    """Send heartbeats, end lifetimes and reap the stale, once a ``sweep_seconds``, until cancelled."""
    while True:
        await trio.sleep(settings.sweep_seconds)
        sweep = _Sweep(settings, metrics)
        turn_ends = time.perf_counter() + _TURN_SECONDS
        for connection in registry:
            sweep.look_at(connection, trio.current_time())
            if time.perf_counter() > turn_ends:
                await trio.lowlevel.checkpoint()
                turn_ends = time.perf_counter() + _TURN_SECONDS


class _Sweep:
    """One look at everybody, and the frames that all of them share."""

    def __init__(self, settings: ConnectionSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._heartbeat = heartbeat(datetime.now(UTC))
        self._of_group: dict[Shared, Control] = {}  # the same, with what a group adds
        self._move: CursorMove | None = None  # shared by all that are level

    def look_at(self, connection: Connection, now: float) -> None:
        if connection.health is Health.STALE:
            self._metrics.reaped.inc()
            connection.abort()
        elif now >= connection.expires:
            connection.close(Closing.LIFETIME, retry_ms=self._settings.retry_ms)
        elif connection.heartbeat_seconds and connection.stalled_since is None:
            self._beat(connection, now)

    def _beat(self, connection: Connection, now: float) -> None:
        quiet_since = connection.last_heartbeat
        if not connection.heartbeat_always:
            quiet_since = max(quiet_since, connection.sent.at)
        if now - quiet_since < connection.heartbeat_seconds:
            return
        connection.last_heartbeat = now
        cursor = connection.level_cursor()
        connection.send(self._heartbeat if connection.group is None else self._shared_by(connection.group))
        if cursor is not None and cursor != connection.sent.cursor:
            if self._move is None or self._move.id != cursor:
                self._move = CursorMove(cursor)
            connection.outbox.put_nowait(self._move)

    def _shared_by(self, group: Shared) -> Control:
        frame = self._of_group.get(group)
        if frame is None:
            fields = group.heartbeat_fields()
            frame = (
                Control(ControlName.HEARTBEAT, {**self._heartbeat.data, **fields})
                if fields
                else self._heartbeat
            )
            self._of_group[group] = frame
        return frame
