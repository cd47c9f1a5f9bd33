"""The sweeper: one trio task that sends heartbeats, ends lifetimes and aborts stale connections."""

from datetime import UTC, datetime
from typing import NoReturn

import structlog
import trio

from ..events import Control, ControlName, CursorMove
from ..events.control import heartbeat
from ..metrics import Metrics
from .connection import STALE, CloseReason, Connection, GroupAccount
from .health import Health
from .registry import Registry
from .settings import ConnectionSettings
from .turns import visit_in_turns

_log = structlog.get_logger(__name__)


async def sweep_connections(registry: Registry, settings: ConnectionSettings, metrics: Metrics) -> NoReturn:
    """Sweep over all connections every ``sweep_seconds`` until cancelled."""
    while True:
        await trio.sleep(settings.sweep_seconds)
        # A loop here would keep its last connection in this frame until a later sweep finds another one.
        await _Sweep(settings, metrics).visit_all(registry)


class _Sweep:
    """One pass over all connections, and the frames that they share."""

    def __init__(self, settings: ConnectionSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._notice_seconds = settings.token_notice_seconds
        self._metrics = metrics
        self._heartbeat = heartbeat(datetime.now(UTC))
        self._of_group: dict[GroupAccount, Control] = {}  # heartbeats with a group's own fields
        self._move: CursorMove | None = None  # shared by all level connections

    async def visit_all(self, registry: Registry) -> None:
        """Visit each connection, with checkpoints in between."""
        await visit_in_turns(registry, self._visit)

    def _visit(self, connection: Connection) -> None:
        """Abort a stale connection, end one at the end of its lifetime, or send a heartbeat that is due."""
        now = trio.current_time()
        if connection.health is Health.STALE:
            self._metrics.reaped.inc()
            stalled_seconds = round(connection.stalled_seconds, 3)
            _log.warning("connection_reaped", **connection.identify(), stalled_seconds=stalled_seconds)
            connection.abort(STALE)
        elif now >= connection.expires:
            connection.close(CloseReason.LIFETIME, retry_ms=self._settings.retry_ms)
        elif now >= connection.token_expires:
            connection.close(CloseReason.EXPIRED, retry_ms=self._settings.retry_ms)
        elif not connection.is_told_of_expiry and now >= connection.token_expires - self._notice_seconds:
            self._tell_of_expiry(connection)
        elif connection.heartbeat_seconds and connection.stalled_since is None:
            self._send_heartbeat(connection, now)

    def _tell_of_expiry(self, connection: Connection) -> None:
        """Tell a client how long its token still holds."""
        seconds = max(0.0, round(connection.token_expires - trio.current_time(), 3))
        connection.is_told_of_expiry = connection.send(
            Control(ControlName.EXPIRING, {"expires_in_seconds": seconds})
        )

    def _send_heartbeat(self, connection: Connection, now: float) -> None:
        """Send a heartbeat after a quiet interval, and the cursor of a level client that lags behind it."""
        quiet_since = connection.last_heartbeat
        if not connection.heartbeat_always:
            quiet_since = max(quiet_since, connection.sent.at)
        if now - quiet_since < connection.heartbeat_seconds:
            return
        connection.last_heartbeat = now
        _log.debug("heartbeat_sent", connection=connection.id)
        cursor = None if connection.subscription is None else connection.subscription.level_cursor()
        group = connection.group
        connection.send(self._heartbeat if group is None else self._heartbeat_of(group))
        if cursor is not None and cursor != connection.sent.cursor:
            if self._move is None or self._move.id != cursor:
                self._move = CursorMove(cursor)
            connection.send_queue.put_nowait(self._move)

    def _heartbeat_of(self, group: GroupAccount) -> Control:
        """Return the heartbeat that the group's connections share."""
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
