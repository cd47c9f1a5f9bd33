"""The port through which frames reach one client's socket."""

from collections.abc import Sequence
from typing import Protocol

from ..events import Frame


class Wire(Protocol):
    """How the bytes of one connection reach its socket. Frames are never split or reordered."""

    def write_nowait(self, frames: Sequence[Frame]) -> int:
        """Write all the frames without blocking and without waking a task, or none of them.

        Returns:
            The bytes written; 0 when the wire cannot do it now (or never does, as over plain ASGI),
            and the frames have to go through :meth:`write`.
        """

    async def write(self, frames: Sequence[Frame]) -> int:
        """Write all the frames, waiting for the transport where it has to; returns their bytes.

        Cancelling it may leave frames unsent; those that were sent are whole.
        """
