"""The wire: the port through which frames reach one client's socket."""

from typing import Protocol

from ..events import Batch


class Wire(Protocol):
    """The write side of one connection. Frames are never split or reordered."""

    def write_nowait(self, batch: Batch) -> int:
        """Write the whole batch without blocking and without waking a trio task, or none of it.

        Never raises. The bytes of a batch that was begun and that the kernel does not take at once stay
        in front of everything written later.

        Returns:
            The bytes written; 0 when the wire cannot write now (or never can, as over plain ASGI), and
            the frames have to go through :meth:`write`.
        """

    async def write(self, batch: Batch) -> int:
        """Write the whole batch, wait for the transport where needed, and return its bytes.

        Cancelling it may leave frames unsent; every frame that was sent is whole.

        Raises:
            OSError, trio.BrokenResourceError, trio.ClosedResourceError: the peer is gone.
        """

    def release(self) -> None:
        """Give the wire back before the response ends; it must not be written to afterwards."""
