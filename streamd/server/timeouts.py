"""The timeouts of connections, which change twice a request and hardly ever pass.

A change of a trio scope's deadline costs operations on trio's heap of deadlines. Here it is an assignment: a
timer is queued once, at the time at which it was first due. When that time comes, a timer whose deadline was
moved meanwhile is queued again, and one that was stopped is forgotten until it is started.
"""

import socket
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count, islice
from math import inf
from typing import Final, NoReturn
from weakref import ReferenceType, ref

import trio

_NEW_SECONDS: Final = 0.25  # a client's request needs a round trip; without, newcomers would end each other
_LOOKED_AT: Final = 64  # of the longest idle connections, for one that has not just sent a request


class ConnectionTimer:
    """The timeout of one connection, at which its scope is cancelled.

    Args:
        timeouts: of the server.
        scope: of the connection's trio tasks.
        sock: of the connection, to see whether a request has arrived; None in tests.

    Attributes:
        deadline: by trio's clock (s); infinite while the timer is stopped.
    """

    __slots__ = ("__weakref__", "_born", "_queued_at", "_scope", "_sock", "_timeouts", "deadline")

    def __init__(
        self, timeouts: "ConnectionTimeouts", scope: trio.CancelScope, sock: socket.socket | None = None
    ) -> None:
        self.deadline = inf
        self._timeouts = timeouts
        self._scope = scope
        self._sock = sock
        self._born = inf  # until it is started
        self._queued_at = inf  # never later than the deadline

    def start(self, deadline: float) -> None:
        """Cancel the scope at a deadline, and at no other.

        Until it is stopped, its owner must keep it, and :meth:`ConnectionTimeouts.expire_oldest` may find it.
        """
        if self._born == inf:
            self._born = trio.current_time()
        self._timeouts.started[self] = None
        self.deadline = deadline
        if deadline < self._queued_at:
            self._queued_at = deadline
            self._timeouts.queue(deadline, self)

    def stop(self) -> None:
        """Do not cancel the scope, until the timer is started again."""
        if self.deadline != inf:
            self.deadline = inf
            self._timeouts.started.pop(self, None)

    def protect(self) -> None:
        """Let only the deadline cancel the scope, until the timer is started again."""
        self._timeouts.started.pop(self, None)

    def expire(self) -> bool:
        """Cancel the scope before the deadline.

        Returns:
            False if the connection is so new that its request may be on the way, or has input.
        """
        if trio.current_time() < self._born + _NEW_SECONDS:
            return False
        if self._sock is not None:
            with suppress(OSError):  # there is none, or the socket is closed
                if self._sock.recv(1, socket.MSG_PEEK):
                    return False
        self.protect()
        self._scope.cancel()
        return True

    def check(self, queued_at: float, now: float) -> None:
        """Cancel the scope if the deadline has passed; queue a timer again whose deadline was moved."""
        if queued_at != self._queued_at:
            return  # it was queued for an earlier time after this one
        self._queued_at = inf
        if self.deadline <= now:
            self._scope.cancel()
        elif self.deadline != inf:
            self.start(self.deadline)


class ConnectionTimeouts:
    """The queue of the timers of a server, and the one trio task that waits for the first.

    Its queue does not keep a timer alive, so that those of connections that have ended are freed at once.

    Attributes:
        started: the timers that were started and not stopped, in the order in which they were started first.
            These are the connections without a request in progress, the one that is idle for longest first.
    """

    def __init__(self) -> None:
        self.started: dict[ConnectionTimer, None] = {}
        self._queue: list[tuple[float, int, ReferenceType[ConnectionTimer]]] = []
        self._numbers = count()  # of entries: the order of those at the same time
        self._sleep = trio.CancelScope()

    def queue(self, at: float, timer: ConnectionTimer) -> None:
        """Check a timer at a time by trio's clock (s)."""
        heappush(self._queue, (at, next(self._numbers), ref(timer)))
        if self._sleep.deadline <= at:
            return
        self._sleep.deadline = at

    def expire_oldest(self) -> bool:
        """End the connection that has been idle for longest; return False if none is idle."""
        return any(timer.expire() for timer in tuple(islice(self.started, _LOOKED_AT)))

    async def run(self) -> NoReturn:
        """Check timers when they are due, until cancelled; then no scope is cancelled any more."""
        queue = self._queue
        while True:
            with trio.CancelScope(deadline=queue[0][0] if queue else inf) as self._sleep:
                await trio.sleep_forever()
            now = trio.current_time()
            while queue and queue[0][0] <= now:
                at, _, found = heappop(queue)
                timer = found()
                if timer is not None:
                    timer.check(at, now)
