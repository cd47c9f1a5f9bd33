"""The reload of a running server's configuration, on SIGHUP."""

from collections.abc import Callable, Mapping
from typing import Final, NoReturn

import structlog
import trio

from ..config import Reload, plan_reload
from ..errors import ConfigError
from ..extension import Streamd
from ..http.loopback import SETTING as CONTROL
from ..http.loopback import warn_of_control
from ..logs import configure_logging
from ..server import Certificates, LoopMonitor, SystemdNotifier
from ..settings import Settings

_TLS: Final = ("server.certfile", "server.keyfile")

_log = structlog.get_logger(__name__)


class Reloader:
    """Reloads certificates, log levels and limits, and names the settings that need a restart.

    A configuration that `streamd serve` would refuse changes nothing, and is logged.

    Args:
        load: loads and checks the settings again; may take a while, and runs in a thread.
        settings: those that the server runs with.
        streamd: applies the limits.
        certificates: of the server.
        monitor: of the event loop; gets ``server.slow_pass_ms``.
        environ: the environment, for the log levels.
        systemd: told when a reload starts and ends.
    """

    def __init__(
        self,
        load: Callable[[], Settings],
        settings: Settings,
        streamd: Streamd,
        certificates: Certificates,
        monitor: LoopMonitor,
        environ: Mapping[str, str],
        systemd: SystemdNotifier,
    ) -> None:
        self._load = load
        self._settings = settings
        self._streamd = streamd
        self._certificates = certificates
        self._monitor = monitor
        self._environ = environ
        self._systemd = systemd
        self._requested = trio.Event()

    def request(self) -> None:
        """Reload soon. Requests during a reload are one further reload."""
        self._requested.set()

    async def run(self) -> NoReturn:
        """Reload on request until cancelled. An unexpected error is logged, and ends nothing."""
        while True:
            await self._requested.wait()
            self._requested = trio.Event()
            async with self._systemd.reloading():
                try:
                    await self._reload()
                except Exception:  # noqa: BLE001 - the server goes on with the settings that it has
                    _log.exception("reload_failed")

    async def _reload(self) -> None:
        try:
            # Abandoned at the end of the server, because it changes nothing.
            plan = self._plan(await trio.to_thread.run_sync(self._load, abandon_on_cancel=True))
            self._certificates.reload(plan.settings.server)
        except ConfigError as error:
            _log.error("reload_refused", problems=error.detail.splitlines())
            return
        configure_logging(plan.settings.logging, self._environ)
        self._monitor.apply_settings(plan.settings.server)
        self._streamd.apply_settings(plan.settings)
        self._settings = plan.settings
        _log.info("configuration_reloaded", changed=list(plan.applied))
        if plan.postponed:
            _log.warning("settings_need_restart", settings=list(plan.postponed))
        if CONTROL in plan.applied and plan.settings.connections.control:
            warn_of_control()

    def _plan(self, wanted: Settings) -> Reload[Settings]:
        begins_or_ends_tls = bool(wanted.server.certfile) != bool(self._settings.server.certfile)
        return plan_reload(self._settings, wanted, fixed=_TLS if begins_or_ends_tls else ())
