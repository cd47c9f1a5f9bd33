"""Notifications to systemd about the state of the server, and its watchdog (sd_notify(3)).

Theory of operation: a notification is a datagram of lines ``NAME=VALUE`` to the socket that ``NOTIFY_SOCKET``
names. Without that variable nothing is sent, and a socket that cannot be reached never stops the server.

==============================  =================  ====================================  ============
event                           in state           notification                          next state
==============================  =================  ====================================  ============
connections are accepted        starting           ``READY=1``                           listening
a reload starts                 listening          ``RELOADING=1``, ``MONOTONIC_USEC``   listening
a reload ends, refused or not   listening          ``READY=1``                           listening
shutdown starts                 all                ``STOPPING=1``                        stopping
half the watchdog's timeout     all                ``WATCHDOG=1``                        unchanged
==============================  =================  ====================================  ============

In other states nothing is sent: ``READY=1`` after a reload would tell systemd that a server which still
starts, or stops already, accepts connections.

The watchdog's trio task runs in the event loop, so that a loop that hangs sends nothing, and systemd restarts
the process.
"""

import enum
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import structlog
import trio

_SEND_SECONDS: Final = 1.0  # systemd reads within milliseconds; its full queue must not delay the server
_MICROSECONDS: Final = 1_000_000

_log = structlog.get_logger(__name__)


class _State(enum.Enum):
    STARTING = enum.auto()
    LISTENING = enum.auto()
    STOPPING = enum.auto()


class SystemdNotifier:
    """Tells systemd about start, reloads and shutdown of this process, and that its event loop runs.

    Args:
        address: of systemd's datagram socket: a path, or ``@`` and an abstract name; None: nothing is sent.
        watchdog_seconds: timeout after which systemd ends a process without a ping (s); None: no pings.
    """

    def __init__(self, address: str | None = None, watchdog_seconds: float | None = None) -> None:
        self._address = address
        self._watchdog_seconds = watchdog_seconds
        self._state = _State.STARTING
        self._reachable = True

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "SystemdNotifier":
        """Make a notifier from the variables that systemd sets (sd_notify(3), sd_watchdog_enabled(3)).

        Values that cannot be used are logged and ignored.
        """
        address = environ.get("NOTIFY_SOCKET") or None
        if address is not None and address[0] not in "/@":
            _log.warning("notify_socket_unsupported", address=address)
            address = None
        return cls(address, _watchdog_seconds(environ))

    async def ready(self) -> None:
        """Announce that connections are accepted."""
        if self._state is _State.STARTING:
            self._state = _State.LISTENING
            await self._send("READY=1")

    async def stopping(self) -> None:
        """Announce that the shutdown has begun."""
        self._state = _State.STOPPING
        await self._send("STOPPING=1")

    @asynccontextmanager
    async def reloading(self) -> AsyncIterator[None]:
        """Announce a reload, and its end after the block. Cancelling the block announces no end."""
        if self._state is _State.LISTENING:
            # CLOCK_MONOTONIC tells systemd which of several reloads the next READY=1 belongs to.
            await self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        yield
        if self._state is _State.LISTENING:
            await self._send("READY=1")

    async def run_watchdog(self) -> None:
        """Ping until cancelled, at half of the watchdog's timeout. Return at once if there is none."""
        if self._address is None or self._watchdog_seconds is None:
            return
        while True:
            await self._send("WATCHDOG=1")
            await trio.sleep(self._watchdog_seconds / 2)

    async def _send(self, text: str) -> None:
        """Send one datagram, on a socket of its own, because systemd may have replaced its own socket."""
        if self._address is None:
            return
        abstract = self._address.startswith("@")
        address = f"\0{self._address[1:]}" if abstract else self._address
        try:
            with trio.fail_after(_SEND_SECONDS):
                with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                    # Connected, so that waiting for room looks at systemd's queue and not at our own.
                    await sock.connect(address)
                    await sock.send(text.encode())
        except (OSError, trio.TooSlowError) as error:
            if self._reachable:
                _log.warning("notify_socket_unreachable", address=self._address, error=repr(error))
            self._reachable = False
        else:
            self._reachable = True


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """Return the timeout of the watchdog of this process (s); None if there is none."""
    microseconds, process = environ.get("WATCHDOG_USEC"), environ.get("WATCHDOG_PID")
    if not microseconds or (process and process != str(os.getpid())):
        return None
    if not (microseconds.isascii() and microseconds.isdecimal() and int(microseconds[:20])):
        _log.warning("watchdog_timeout_invalid", microseconds=microseconds)
        return None
    return int(microseconds[:20]) / _MICROSECONDS  # 64 bits have 20 digits
