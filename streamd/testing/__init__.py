"""For tests of programs that use streamd: a running server, and a reader of event streams.

Name it in ``conftest.py``: ``pytest_plugins = ["streamd.testing"]``, and ask for the fixture
``streamd_server`` (needs pytest-trio). Or use :func:`run_server` and :func:`open_stream` directly;
both need nothing but trio.
"""

from .fixtures import streamd_server
from .reader import StreamReader, StreamRefused, open_stream
from .server import RunningServer, run_server

__all__ = [
    "RunningServer",
    "StreamReader",
    "StreamRefused",
    "open_stream",
    "run_server",
    "streamd_server",
]
