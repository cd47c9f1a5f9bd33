"""The port through which frames reach one client's socket."""

from typing import Protocol

from ..events import Batch


class Wire(Protocol):
    """How the bytes of one connection reach its socket. Frames are never split or reordered."""

    def write_nowait(self, batch: Batch) -> int:
        """Write the whole batch without blocking and without waking a task, or nothing of it.

        Never raises. What the kernel does not take at once of a batch that was begun waits in front
        of all that is written later.

        Returns:
            The bytes written; 0 when the wire cannot do it now (or never does, as over plain ASGI),
            and the frames have to go through :meth:`write`.
        """

    async def write(self, batch: Batch) -> int:
        """Write the whole batch, waiting for the transport where it has to; returns its bytes.

        Cancelling it may leave frames unsent; those that were sent are whole.

        Raises:
            OSError, trio.BrokenResourceError, trio.ClosedResourceError: the peer is gone.
        """

    def release(self) -> None:
        """Give the wire back, before the response is ended; nothing is written by it any more."""
