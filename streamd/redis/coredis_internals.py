"""The uses of coredis' private names; look here first when coredis changes.

=============================  =====================================================================
the buffers of a connection    are closed only if it was connected: otherwise each attempt to connect
                               leaves a ``ResourceWarning``
=============================  =====================================================================
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from coredis.connection import BaseConnection

_BUFFERS: Final = ("_write_buffer", "_push_message_buffer", "_streamed_message_buffer")


@contextmanager
def closing_buffers(connection: BaseConnection) -> Iterator[None]:
    """Close the buffers of a connection at the end of the block, in which it was run."""
    try:
        yield
    finally:
        for name in _BUFFERS:
            for end in ("in", "out"):
                getattr(connection, f"{name}_{end}").close()
