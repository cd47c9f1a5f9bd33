"""The ordered output of one socket.

The *tail* is the bytes that were accepted and that the kernel has not taken yet; the *sender* is the trio
task that waits for the kernel. Both make the state of an :class:`Output`:

================  =================  ===================  =====================  ================
event             FREE               TAIL                 SENDING                CLOSED
                  no tail,           tail, no sender;     a sender, with or
                  no sender          a flush is spawned   without a tail
================  =================  ===================  =====================  ================
``write_nowait``  FREE, or TAIL if   rejected, but for    rejected               rejected
                  a part was taken   a held head: as put
``put``           FREE, or TAIL if   appended             sent, or appended if   ignored
                  a part was taken                        there is a tail
``send``, flush   SENDING            SENDING              queued                 raises
sender is done    --                 --                   the next sender, if    CLOSED
                                                          any, or FREE
``close``         CLOSED             CLOSED               CLOSED                 ignored
error, timeout    CLOSED by the owner's ``abort`` or ``fail``                     --
================  =================  ===================  =====================  ================

The head of a response can be held back, so that it leaves in one system call with the start of its body::

    NOTHING --hold()--> NEXT --first write becomes the tail--> TAIL --second write sends both--> NOTHING

Coupling rules:

- ``free`` is true exactly while there is no tail, no sender, and the socket is open. Only then, or behind a
  head that is held, is ``write_nowait`` accepted, so that direct writes never overtake or split a queued one.
- Each change of the tail, of the sender or of ``closed`` sets ``free`` in the same step.
- A TLS record that was made must be sent, because the peer expects the next sequence number. So data is
  encrypted only when it is certain to be sent, directly or behind the tail.
- While a held head is the tail, it is not flushed: the next write does that.
- A send is shielded from cancellation once it has begun: half a message would spoil all that follow.
- The owner's ``abort`` and ``fail`` close this output before they return.
"""

import socket
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Protocol

import trio

Encrypt = Callable[[bytes], bytes]


class _Hold(Enum):
    """The part of a response that is held back until more is written."""

    NOTHING = auto()
    NEXT = auto()  # the next write
    TAIL = auto()  # the write that became the tail


# Looked up once, because an access to a member of an enum takes 0.2 µs on Python 3.11.
_HOLD_NOTHING, _HOLD_NEXT, _HOLD_TAIL = _Hold


class OutputOwner(Protocol):
    """The connection of an output."""

    def fail(self) -> None:
        """Close the output, and end the connection in its turn: a direct write found the peer gone."""

    def abort(self) -> None:
        """End the connection: its socket or TLS has failed, or the timeout has passed."""

    def spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        """Start a trio task of the connection."""


class Output:
    """The ordered output of one connection: each write goes to the kernel, or behind the queued bytes.

    Two kinds of writers share it. Trio tasks :meth:`send`, one at a time, and wait until the kernel has
    taken all. The fan-out calls :meth:`write_nowait`, which is rejected unless the output is free. Every
    wait for the kernel is bounded.

    Args:
        sock: connected and non-blocking; its owner closes it after :meth:`close`.
        timeout_seconds: timeout for the kernel to take the bytes of one send (s).
        owner: the connection, which is aborted on an error of the socket or of TLS, and at the timeout.

    Attributes:
        free: there is no tail and no sender, and the socket is open.
        closed: nothing is written any more.
    """

    __slots__ = (
        "_encrypt",
        "_hold",
        "_owner",
        "_queue",
        "_sending",
        "_sock",
        "_tail",
        "_timeout_seconds",
        "closed",
        "free",
    )

    def __init__(self, sock: socket.socket, timeout_seconds: float, owner: OutputOwner) -> None:
        self.free = True
        self.closed = False
        self._sock = sock
        self._timeout_seconds = timeout_seconds
        self._owner: OutputOwner = owner
        self._encrypt: Encrypt | None = None
        self._hold = _HOLD_NOTHING
        self._tail = bytearray()  # bytes that the kernel has not taken yet
        self._sending = False
        self._queue: trio.lowlevel.ParkingLot | None = None  # of trio tasks that wait to send

    def encrypt_with(self, encrypt: Encrypt) -> None:
        """Turn all data that is written from now on into TLS records, sent in the order they are made."""
        self._encrypt = encrypt

    @property
    def is_sending(self) -> bool:
        """A trio task sends, and may wait for the socket."""
        return self._sending

    def hold(self) -> None:
        """Hold back the next write until the one after it, so that both leave in one system call."""
        self._hold = _HOLD_NEXT

    def put_held(self, data: bytes) -> None:
        """Take data, and hold it back until the next write, so that both leave in one system call."""
        if self.closed:
            return
        if self._tail or self._sending:
            self.put(data)
        else:
            self._keep(self._encrypted(data), 0)
            self._hold = _HOLD_TAIL

    def write_nowait(self, data: bytes) -> bool:
        """Write all of the data if the output is free; never blocks, never raises.

        A trio task flushes the bytes that the kernel does not take at once; later writes go behind them.

        Returns:
            True if the data was accepted; False if nothing of it was written.
        """
        if not self.free:
            if self._hold is not _HOLD_TAIL or self._sending or self.closed:
                return False
            self.put(data)
            return not self.closed
        try:
            if self._encrypt is not None:
                data = self._encrypt(data)
            taken = self._sock.send(data)
        except BlockingIOError:
            if self._encrypt is None:
                return False
            taken = 0  # a record that was made has to be sent
        except OSError:
            self._owner.fail()
            return False
        if taken < len(data):
            self._keep(data, taken)
            self._owner.spawn(self._flush_tail)
        return True

    def put(self, data: bytes) -> None:
        """Write all of the data, or append it to the tail, which a trio task flushes.

        Never blocks, never raises.
        """
        if not self.closed:
            self.put_records(self._encrypted(data))

    def put_records(self, records: bytes) -> None:
        """Write TLS records as :meth:`put` writes data."""
        if records and not self.closed:
            self._put(records)
            if self._tail:
                self._owner.spawn(self._flush_tail)
            elif not self._sending:
                self.free = not self.closed

    async def send(self, data: bytes) -> None:
        """Write behind the tail, and wait until the kernel has taken all.

        Cancelled while others are sending, nothing is written; after that it cannot be cancelled.

        Raises:
            trio.ClosedResourceError: the connection is closed, or was aborted by this write.
        """
        await self._acquire()
        try:
            if not self.closed:
                self._put(self._encrypted(data))
            await self._flush()
        finally:
            self._release()
        if self.closed:
            raise trio.ClosedResourceError

    def close(self, last_records: bytes = b"") -> None:
        """Stop writing, and drop the tail. Does nothing the second time.

        Args:
            last_records: TLS records to write first, as far as the kernel takes them.
        """
        if last_records and not self.closed:
            self._put(last_records)
        self.closed = True
        self.free = False
        self._tail.clear()
        self._owner = _NOBODY  # which refers to this object; separated, both are freed at once
        self._encrypt = None

    def _encrypted(self, data: bytes) -> bytes:
        """Return the bytes to send for ``data``: none after an error of TLS, which ends the connection."""
        try:
            return data if self._encrypt is None else self._encrypt(data)
        except OSError:  # an ssl.SSLError is one: the peer broke off, or sent an invalid record
            self._owner.abort()
            return b""

    def _put(self, data: bytes) -> None:
        if self._hold is _HOLD_NEXT:
            self._hold = _HOLD_TAIL
            self._keep(data, 0)
            return
        if self._hold is _HOLD_TAIL:
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
                self._owner.abort()
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
            await self._queue.park()  # the sender that wakes us hands its turn over
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
        # Shielded, because half a message would spoil all that follow.
        if not self._tail or self._hold is _HOLD_TAIL:
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
                    self._owner.abort()
        if scope.cancelled_caught:
            self._owner.abort()


class _Nobody:
    """The owner of a closed output."""

    def fail(self) -> None:
        pass

    def abort(self) -> None:
        pass

    def spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        pass


_NOBODY = _Nobody()
