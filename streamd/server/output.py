"""Everything that leaves one socket, in one order."""

import socket
from collections.abc import Awaitable, Callable

import trio

Seal = Callable[[bytes], bytes]
_HOLD_NOTHING, _HOLD_NEXT, _HOLD_TAIL = range(3)


class Output:
    """The one way out of a connection: whatever is written goes to the kernel, or behind what waits.

    Two kinds of writers share it. TaskGroup :meth:`send`, one at a time, and wait until the kernel has
    taken all. The fan-out calls :meth:`write_nowait`, which is refused unless nothing waits and nobody
    is sending. Every wait for the kernel is bounded.

    Args:
        sock: connected and non-blocking; closed by whoever owns it, after :meth:`close`.
        timeout_seconds: how long the kernel may take to accept what was sent (s).
        fail: aborts the connection; called on an error of the socket or of TLS, and past the timeout.
        spawn: starts a task that may outlive the caller.

    Attributes:
        free: nothing waits, nobody sends, and the socket is open.
        closed: nothing is written any more.
    """

    __slots__ = (
        "_fail",
        "_hold",
        "_queue",
        "_seal",
        "_sending",
        "_sock",
        "_spawn",
        "_tail",
        "_timeout_seconds",
        "closed",
        "free",
    )

    def __init__(
        self,
        sock: socket.socket,
        timeout_seconds: float,
        fail: Callable[[], None],
        spawn: Callable[[Callable[[], Awaitable[None]]], None],
    ) -> None:
        self.free = True
        self.closed = False
        self._sock = sock
        self._timeout_seconds = timeout_seconds
        self._fail = fail
        self._spawn = spawn
        self._seal: Seal | None = None
        self._hold = _HOLD_NOTHING
        self._tail = bytearray()  # what the kernel has not taken yet
        self._sending = False
        self._queue: trio.lowlevel.ParkingLot | None = None  # of those who wait to send

    def seal_with(self, seal: Seal) -> None:
        """From now on, turn what is written into TLS records, which go out in the order they were made."""
        self._seal = seal

    def hold(self) -> None:
        """Keep what is sent next until more is, so that both leave in one system call."""
        self._hold = _HOLD_NEXT

    def write_nowait(self, data: bytes) -> bool:
        """Write all of it if nothing stands before it; never blocks, never raises.

        What the kernel does not take at once is flushed by a task, and nothing overtakes it.

        Returns:
            Whether it was taken. If not, nothing of it was written.
        """
        if not self.free:
            return False
        try:
            if self._seal is not None:
                data = self._seal(data)
            taken = self._sock.send(data)
        except BlockingIOError:
            if self._seal is None:
                return False
            taken = 0  # a record that was made has to go out
        except OSError:
            self._fail()
            return False
        if taken < len(data):
            self._keep(data, taken)
            self._spawn(self._flush_tail)
        return True

    def put(self, data: bytes) -> None:
        """Write all of it, or keep it behind what waits; a task flushes that. Never blocks, never raises."""
        if not self.closed:
            self.put_records(self._sealed(data))

    def put_records(self, records: bytes) -> None:
        """The same for TLS records that were made already."""
        if records and not self.closed:
            self._put(records)
            if self._tail:
                self._spawn(self._flush_tail)
            elif not self._sending:
                self.free = not self.closed

    async def send(self, data: bytes) -> None:
        """Write behind what waits, and wait until the kernel has taken all.

        Cancelled while others are sending, nothing is written; after that it is not cancelled any more.

        Raises:
            trio.ClosedResourceError: the connection is closed, or was aborted by this write.
        """
        await self._acquire()
        try:
            if not self.closed:
                self._put(self._sealed(data))
            await self._flush()
        finally:
            self._release()
        if self.closed:
            raise trio.ClosedResourceError

    def close(self) -> None:
        """Write nothing any more; what waits is dropped. Does nothing the second time."""
        self.closed = True
        self.free = False
        self._tail.clear()
        # Their owners refer to this object; apart, both are freed without the garbage collector.
        self._fail = self._spawn = _do_nothing
        self._seal = None

    def _sealed(self, data: bytes) -> bytes:
        """What goes out for ``data``; nothing once TLS has failed, which ends the connection."""
        try:
            return data if self._seal is None else self._seal(data)
        except OSError:  # an ssl.SSLError is one: the peer broke off, or sent what is no TLS
            self._fail()
            return b""

    def _put(self, data: bytes) -> None:
        if self._hold == _HOLD_NEXT:
            self._hold = _HOLD_TAIL
            self._keep(data, 0)
            return
        if self._hold == _HOLD_TAIL:
            self._hold = _HOLD_NOTHING
            data = bytes(self._tail) + data
            self._tail.clear()
        taken = 0
        if data and not self._tail:
            try:
                taken = self._sock.send(data)
            except BlockingIOError:
                pass
            except OSError:
                self._fail()
                return
        if taken < len(data):
            self._keep(data, taken)

    def _keep(self, data: bytes, taken: int) -> None:
        self._tail += memoryview(data)[taken:]
        self.free = False

    async def _acquire(self) -> None:
        self.free = False
        if self._sending:
            if self._queue is None:
                self._queue = trio.lowlevel.ParkingLot()
            await self._queue.park()  # whoever wakes us hands its turn over
        self._sending = True

    def _release(self) -> None:
        if self._queue:
            self._queue.unpark()
        else:
            self._sending = False
        self.free = not (self.closed or self._tail or self._sending)

    async def _flush_tail(self) -> None:
        await self._acquire()
        try:
            await self._flush()
        finally:
            self._release()

    async def _flush(self) -> None:
        # Shielded, because a message cut off in the middle would spoil all that follow.
        if not self._tail or self._hold == _HOLD_TAIL:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        with trio.CancelScope(shield=True) as scope:
            scope.deadline = trio.current_time() + self._timeout_seconds
            while self._tail:
                try:
                    await trio.lowlevel.wait_writable(self._sock)
                    if self._tail:
                        del self._tail[: self._sock.send(self._tail)]
                except BlockingIOError:
                    continue
                except (OSError, trio.ClosedResourceError):
                    self._fail()
        if scope.cancelled_caught:
            self._fail()


def _do_nothing(*_: object) -> None:
    """What a closed output calls."""
