"""Noticing clients that leave, or send more, while nobody reads their sockets: one trio task for all of them.

A level stream waits for nothing but its client's leaving. A trio task of its own for that would take 2 kB a
connection; here the sockets are in an epoll object, whose own descriptor one trio task waits for.
"""

import select
from typing import Final, NoReturn, Protocol

import structlog
import trio

_log = structlog.get_logger(__name__)
_ONCE: Final = select.EPOLLONESHOT
_ALL: Final = select.EPOLLIN | select.EPOLLRDHUP | _ONCE
_END_ONLY: Final = select.EPOLLRDHUP | _ONCE


class Watched(Protocol):
    """The owner of a watched socket."""

    def on_input(self) -> None:
        """Take the input of the socket, which has some or has ended; the socket is not watched any more."""


class DisconnectWatcher:
    """Tells the owners of idle sockets about input and its end.

    A socket is told about once, and has to be watched again after that. Coupling rule: a socket leaves the
    watcher before it is closed, in the same step, because the kernel reuses its descriptor.

    Args:
        each_pass: maximum number of owners told in one pass of the event loop, so that clients that leave all
            at once do not starve the fan-out.
    """

    def __init__(self, each_pass: int) -> None:
        self._each_pass = each_pass
        self._epoll = select.epoll()
        self._watched: dict[int, Watched] = {}
        self._known: set[int] = set()  # descriptors in the epoll object, watched or not

    def watch(self, fileno: int, owner: Watched, *, end_only: bool = False) -> None:
        """Tell the owner when the socket has input.

        Args:
            fileno: an open descriptor, until :meth:`forget`.
            owner: told once.
            end_only: ignore input in front of the end, because there is no room for it.
        """
        self._watched[fileno] = owner
        mask = _END_ONLY if end_only else _ALL
        if fileno in self._known:
            self._epoll.modify(fileno, mask)
        else:
            self._known.add(fileno)
            self._epoll.register(fileno, mask)

    def forget(self, fileno: int) -> None:
        """Stop watching a socket. Does nothing if it is not watched."""
        self._watched.pop(fileno, None)
        if fileno in self._known:
            self._known.remove(fileno)
            self._epoll.unregister(fileno)

    async def run(self) -> NoReturn:
        """Tell owners until cancelled; then they are not told any more."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            for fileno, _ in self._epoll.poll(0, self._each_pass):
                owner = self._watched.pop(fileno, None)
                if owner is None:  # an owner before it has closed this one
                    continue
                try:
                    owner.on_input()
                except Exception:  # noqa: BLE001 - an error of one connection must not reach the others
                    _log.exception("connection_failed")

    def close(self) -> None:
        """Free the epoll object, when every owner has closed its socket."""
        self._epoll.close()
