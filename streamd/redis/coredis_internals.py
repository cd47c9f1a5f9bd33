"""The uses of coredis' private names; look here first when coredis changes.

=============================  =====================================================================
the buffers of a connection    are closed only if it was connected: otherwise each attempt to connect
                               leaves a ``ResourceWarning``
the log of an attempt          has a traceback for each attempt to connect that failed or was cancelled;
                               :class:`.link.RedisLink` reports failures itself, once
=============================  =====================================================================
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from coredis.connection import BaseConnection

_BUFFERS: Final = ("_write_buffer", "_push_message_buffer", "_streamed_message_buffer")

_FAILED_ATTEMPT: Final = "Connection attempt failed unexpectedly!"


def _keep_record(record: logging.LogRecord) -> bool:
    return record.msg != _FAILED_ATTEMPT


logging.getLogger("coredis").addFilter(_keep_record)


@contextmanager
def closing_buffers(connection: BaseConnection) -> Iterator[None]:
    """Close the buffers of a connection at the end of the block, in which it was run."""
    try:
        yield
    finally:
        for name in _BUFFERS:
            for end in ("in", "out"):
                getattr(connection, f"{name}_{end}").close()
